"""The console script. It starts without the ``cli`` extra, to say how to install it."""

from __future__ import annotations

import importlib.util
import sys

from pace_integrations.errors import MissingExtraError


def main() -> None:
    """Run the command line."""
    if any(importlib.util.find_spec(name) is None for name in ("typer", "rich")):
        sys.exit(_print_error(MissingExtraError("the command line", "cli")))
    try:
        # Only now: what follows needs the extra.
        from pace_integrations.cli import app
        from pace_integrations.cli.quiet import silence_libraries

        silence_libraries()
        app(prog_name="pace")
    except KeyboardInterrupt:  # while packages are imported: commands answer it themselves
        sys.exit(130)


def _print_error(error: Exception) -> int:
    print(f"pace: {error}", file=sys.stderr)  # noqa: T201
    return 2
