"""Turns what a user names (files, folders, patterns) into a list of files in a fixed order."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from pace_integrations.documents.formats.sniffing import SUFFIXES, is_supported
from pace_integrations.documents.options import ReadOptions
from pace_integrations.errors import DocumentError

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_NUMBER = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key that puts ``page-2`` before ``page-10`` and ignores case."""
    parts = _NUMBER.split(name.casefold())
    key = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)
    return key, name


def _named(path: Path, base: Path, patterns: Iterable[str]) -> bool:
    """Tells whether a path matches a pattern: by its name, or from the folder on with a slash."""
    parts = path.relative_to(base).parts
    return any(
        _matches(parts, pattern.strip("/").split("/"))
        if "/" in pattern
        else fnmatch.fnmatchcase(path.name, pattern)
        for pattern in patterns
    )


def _real(path: Path) -> str:
    """The path without links. Unlike `Path.resolve` it takes links that lead to themselves."""
    return os.path.realpath(path)


def _walk(
    folder: Path, entered: set[str], options: ReadOptions, base: Path | None = None
) -> Iterator[Path]:
    """The files below a folder that are wanted; links may lead back up, so each once."""
    base = folder if base is None else base
    real = _real(folder)
    if real in entered:
        return
    entered.add(real)
    try:
        paths = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    except OSError:
        yield folder  # reported as a file that cannot be read, not dropped
        return
    for path in paths:
        if (path.name.startswith(".") and not options.hidden) or _named(
            path, base, options.exclude
        ):
            continue
        if path.is_dir():
            yield from _walk(path, entered, options, base)
        elif not options.include or _named(path, base, options.include):
            yield path


def _folder(folder: Path, options: ReadOptions) -> list[Path]:
    files = list(_walk(folder, set(), options))
    if files == [folder]:
        raise DocumentError(f"{str(folder)!r}: the folder cannot be listed; check its permissions")
    if not any(is_supported(path) for path in files if path.is_file()):
        raise DocumentError(
            f"{str(folder)!r}: the folder has no file of a supported kind "
            f"({len(files)} others); supported are {' '.join(SUFFIXES)}"
        )
    return files


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tells whether a path, or a folder it lies in, matches a pattern with ``**``."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    if not parts or not fnmatch.fnmatchcase(parts[0], pattern[0]):
        return False
    return _matches(parts[1:], pattern[1:])


def _recursive(pattern: Path, options: ReadOptions) -> list[Path]:
    """Expands ``**`` by the walk that is safe from looping links; `glob` follows those."""
    plain = next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))
    base, rest = Path(*pattern.parts[:plain]), pattern.parts[plain:]
    files = _walk(base, set(), options) if base.is_dir() else iter(())
    return [path for path in files if _matches(path.relative_to(base).parts, rest)]


def _flat(pattern: str, options: ReadOptions) -> list[Path]:
    matches = [Path(match) for match in glob.glob(pattern)]  # noqa: PTH207 - absolute patterns
    matches.sort(key=lambda path: [natural_key(part) for part in path.parts])
    entered: set[str] = set()
    nested = [list(_walk(path, entered, options)) if path.is_dir() else [path] for path in matches]
    return [path for files in nested for path in files]


def _pattern(pattern: str, options: ReadOptions) -> list[Path]:
    recursive = "**" in Path(pattern).parts
    files = _recursive(Path(pattern), options) if recursive else _flat(pattern, options)
    if not files:
        raise DocumentError(
            f"{pattern!r}: the pattern matches no file; check it, and put it in quotes in a shell"
        )
    return files


def _expanded(name: str, options: ReadOptions) -> list[Path]:
    if not name.strip() or "\0" in name:
        raise DocumentError(f"{name!r} is not a path; name a file, a folder or a pattern")
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path, options)
    if os.path.lexists(path):
        return [path]
    if glob.has_magic(name):
        return _pattern(str(path), options)
    raise DocumentError(
        f"{name!r}: no such file or folder; check the spelling and the working directory "
        f"({str(Path.cwd())!r})"
    )


def expand_paths(paths: Paths, options: ReadOptions | None = None) -> list[Path]:
    """Lists the files that paths, folders and glob patterns stand for.

    Folders are searched to the bottom in natural order of names; hidden files are skipped; a file
    that comes up twice is kept where it came first.

    Args:
        paths: One path, folder or pattern, or several.
        options: Which files to take from folders; a file that is named is always taken.

    Returns:
        The files, in reading order.

    Raises:
        DocumentError: A path does not exist, a folder holds no supported file, a pattern matches
            nothing, or nothing was given.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise DocumentError("no path was given; name a file, a folder or a pattern")
    found: dict[str, Path] = {}
    for name in given:
        for path in _expanded(os.fspath(name), options or ReadOptions()):
            found.setdefault(_real(path), path)
    return list(found.values())
