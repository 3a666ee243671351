"""Where output goes: a terminal or a pipe, with colors or without."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.console import Console

_ENDLESS = 1_000_000  # columns of what is no terminal: nothing is folded there


def is_terminal(stream: TextIO | None) -> bool:
    """Return True if a person watches a stream, on a terminal that can move its cursor."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False


def has_colors(stream: TextIO | None) -> bool:
    """Return True if a stream gets colors: NO_COLOR goes before FORCE_COLOR, that before all."""
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR")
    return forced != "0" if forced else is_terminal(stream)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error.

    Rich would take a pipe for a terminal where FORCE_COLOR is set, and fold what is piped.
    """
    stream = sys.stderr if stderr else sys.stdout
    terminal, colors = is_terminal(stream), has_colors(stream)
    return Console(
        stderr=stderr,
        force_terminal=terminal or colors,
        color_system=("auto" if terminal else "standard") if colors else None,
        width=None if terminal else _ENDLESS,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )
