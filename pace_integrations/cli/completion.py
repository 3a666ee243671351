"""What the shell offers while a word is typed: models, libraries and documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pace_integrations.library.maintenance import is_library
from pace_integrations.model.registry import list_models


def complete_models(incomplete: str) -> list[tuple[str, str]]:
    """Return the named models that begin so, those that are on this machine first."""
    entries = sorted(list_models(), key=lambda entry: not entry.present)
    return [(entry.name, entry.summary) for entry in entries if entry.name.startswith(incomplete)]


def complete_short_models(incomplete: str) -> list[tuple[str, str]]:
    """Return what ``pace models get`` takes: the names without what is common to them."""
    names = ((entry.name.removeprefix("pace-"), entry.summary) for entry in list_models())
    return [(name, summary) for name, summary in names if name.startswith(incomplete)]


def complete_libraries(incomplete: str) -> list[str]:
    """Return the libraries that begin so, and the folders that may hold some."""
    return [name for name, path in _list_below(incomplete) if path.is_dir()]


def complete_documents(incomplete: str) -> list[str]:
    """Return the files, folders and libraries that begin so."""
    return [name for name, _ in _list_below(incomplete)]


def _list_below(incomplete: str) -> Iterator[tuple[str, Path]]:
    """Yield names as they would be typed; a folder ends in a slash, a library does not.

    A folder that is the only one is followed by what is in it: the shell goes on inside it then,
    and puts no blank behind it.
    """
    found = _list_folder(incomplete)
    if len(found) == 1 and found[0][0].endswith(os.sep):
        found += _list_folder(found[0][0])
    yield from found


def _list_folder(incomplete: str) -> list[tuple[str, Path]]:
    head, tail = os.path.split(incomplete)
    folder = Path(head).expanduser() if head else Path()
    before = incomplete[: len(incomplete) - len(tail)]
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    shown = [
        path
        for path in paths
        if path.name.startswith(tail) and (tail.startswith(".") or not path.name.startswith("."))
    ]
    return [(before + path.name + _mark_folder(path), path) for path in shown]


def _mark_folder(path: Path) -> str:
    return os.sep if path.is_dir() and not is_library(path) else ""
