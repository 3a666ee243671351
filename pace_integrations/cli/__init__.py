"""The shell's face: ``pace ask``, ``pace chat`` and ``pace memory``."""

from pace_integrations.cli.app import app

__all__ = ["app"]
