"""The command line: ``pace ask``, ``pace chat`` and their neighbors."""

from pace_integrations.cli.app import app

__all__ = ["app"]
