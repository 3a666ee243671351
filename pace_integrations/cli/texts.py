"""What is shown, as texts that are safe on a terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pace_integrations.errors import PaceError

_MOST_NAMES = 3  # files of which the same is said that are named


def to_printable(text: str) -> str:
    """Return text without the control characters by which a document could steer the terminal."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def to_line(text: str) -> str:
    """Return text of others on one line, so that a file's name makes no line of its own."""
    return " ".join(to_printable(text).split("\n"))


def describe_error(error: Exception) -> str:
    """Return what an error says; the system's own are said as a shell does, with the file first."""
    if isinstance(error, PaceError) or not isinstance(error, OSError):
        return str(error)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([*names, error.strerror or str(error) or type(error).__name__])


def group_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return what is said with all of which it is said, in the order it came up."""
    groups: dict[str, list[str]] = {}
    for said, name in pairs:
        groups.setdefault(said, []).append(name)
    return list(groups.items())


def format_names(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{len(names)} files ({shown} and {more} more)" if more > 0 else shown


def format_size(count: float) -> str:
    """Return a number of bytes with three digits and a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
