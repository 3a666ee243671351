"""The shell's face: ``pace ask`` and ``pace chat``."""

from pace_integrations.cli.app import app

__all__ = ["app"]
