"""Turns names (files, folders, patterns) into a list of files in a fixed order."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from pace_integrations.documents.formats.registry import SUFFIXES
from pace_integrations.documents.formats.sniffing import is_supported
from pace_integrations.documents.options import ReadOptions
from pace_integrations.errors import DocumentError

Paths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_NUMBER = re.compile(r"([0-9]+)")
# What desktops, editors and archivers leave behind, and the folders of saved web pages.
_LITTER = re.compile(
    r"~\$.*|\._.*|\.~lock\..*#|thumbs\.db|ehthumbs\.db|desktop\.ini|icon\r|\.ds_store|__macosx"
    r"|\.(?:directory|localized|spotlight-v100|trashes|fseventsd)|\$recycle\.bin|.*\.(?:crdownload|part)",
    re.IGNORECASE,
)
_SAVED_PAGE = re.compile(r".+(?:_files|_archivos|_fichiers|-dateien|\.files)", re.IGNORECASE)


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sort key that puts ``page-2`` before ``page-10`` and ignores case."""
    parts = _NUMBER.split(name.casefold())
    key = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)
    return key, name


def _named(path: Path, base: Path, patterns: Iterable[str]) -> bool:
    """Tell whether a path matches a pattern: by its name, or from the folder on with a slash."""
    parts = path.relative_to(base).parts
    return any(
        _matches(parts, pattern.strip("/").split("/"))
        if "/" in pattern
        else fnmatch.fnmatchcase(path.name, pattern)
        for pattern in patterns
    )


def _real(path: Path) -> str:
    """Return the path without links; unlike `Path.resolve`, links may lead to themselves."""
    return os.path.realpath(path)


def _is_litter(path: Path) -> bool:
    """Tell whether a file or folder is none of a user's: a desktop's, or part of a saved page."""
    if _LITTER.fullmatch(path.name):
        return True
    if not _SAVED_PAGE.fullmatch(path.name) or not path.is_dir():
        return False
    stem = re.sub(r"(_files|_archivos|_fichiers|-dateien|\.files)$", "", path.name, flags=re.I)
    return any(path.with_name(stem + end).exists() for end in (".html", ".htm", ".xhtml"))


class _FolderWalk:
    """Lists the files below folders; links may lead back up, so every folder once.

    Attributes:
        skipped: Files and folders that were skipped as litter.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._entered: set[str] = set()
        self.skipped = 0

    def list_files(self, folder: Path, base: Path | None = None) -> Iterator[Path]:
        """Yield the files that are wanted, in natural order of names."""
        base = folder if base is None else base
        real = _real(folder)
        if real in self._entered:
            return
        self._entered.add(real)
        try:
            paths = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        except OSError:
            yield folder  # reported as a file that cannot be read, not dropped
            return
        for path in paths:
            if _is_litter(path):
                self.skipped += 1
            elif self._is_wanted(path, base):
                if path.is_dir():
                    yield from self.list_files(path, base)
                else:
                    yield path

    def _is_wanted(self, path: Path, base: Path) -> bool:
        options = self._options
        if path.name.startswith(".") and not options.hidden:
            return False
        if _named(path, base, options.exclude):
            return False
        return path.is_dir() or not options.include or _named(path, base, options.include)


def _list_folder(folder: Path, walk: _FolderWalk) -> list[Path]:
    files = list(walk.list_files(folder))
    if files == [folder]:
        raise DocumentError(f"{str(folder)!r}: the folder cannot be listed; check its permissions")
    if not any(is_supported(path) for path in files if path.is_file()):
        raise DocumentError(
            f"{str(folder)!r}: the folder has no file of a supported kind "
            f"({len(files)} others); supported are {' '.join(SUFFIXES)} and other texts"
        )
    return files


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path, or a folder it lies in, matches a pattern with ``**``."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    if not parts or not fnmatch.fnmatchcase(parts[0], pattern[0]):
        return False
    return _matches(parts[1:], pattern[1:])


def _expand_recursive(pattern: Path, walk: _FolderWalk) -> list[Path]:
    """Expand ``**`` by the walk that is safe from looping links; `glob` follows those."""
    plain = next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))
    base, rest = Path(*pattern.parts[:plain]), pattern.parts[plain:]
    files = walk.list_files(base) if base.is_dir() else iter(())
    return [path for path in files if _matches(path.relative_to(base).parts, rest)]


def _expand_flat(pattern: str, walk: _FolderWalk) -> list[Path]:
    matches = [Path(match) for match in glob.glob(pattern)]  # noqa: PTH207 - absolute patterns
    matches.sort(key=lambda path: [natural_key(part) for part in path.parts])
    nested = [list(walk.list_files(path)) if path.is_dir() else [path] for path in matches]
    return [path for files in nested for path in files]


def _expand_pattern(pattern: str, walk: _FolderWalk) -> list[Path]:
    recursive = "**" in Path(pattern).parts
    files = _expand_recursive(Path(pattern), walk) if recursive else _expand_flat(pattern, walk)
    if not files:
        raise DocumentError(
            f"{pattern!r}: the pattern matches no file; check it, and put it in quotes in a shell"
        )
    return files


def check_path(given: str | os.PathLike[str]) -> Path:
    """Return a path that is there or is a pattern, with the user's home in it.

    Raises:
        DocumentError: It is empty, or nothing is there.
    """
    name = os.fspath(given)
    if not name.strip() or "\0" in name:
        raise DocumentError(f"{name!r} is not a path; name a file, a folder or a pattern")
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - a user without a home is no error here
    if os.path.lexists(path) or glob.has_magic(name):
        return path
    raise DocumentError(
        f"{name!r}: no such file or folder; check the spelling and the working directory "
        f"({str(Path.cwd())!r})"
    )


def _expand_name(name: str, walk: _FolderWalk) -> list[Path]:
    path = check_path(name)
    if path.is_dir():
        return _list_folder(path, walk)
    return [path] if os.path.lexists(path) else _expand_pattern(str(path), walk)


def find_files(paths: Paths, options: ReadOptions | None = None) -> tuple[list[Path], int]:
    """List the files that paths, folders and glob patterns stand for, and count the litter.

    Folders are searched to the bottom in natural order of names; hidden files are skipped; a file
    that comes up twice is kept where it came first.

    Args:
        paths: One path, folder or pattern, or several.
        options: Which files to take from folders; a file that is named is always taken.

    Returns:
        The files, in reading order; and how many of a desktop's leavings were skipped.

    Raises:
        DocumentError: A path does not exist, a folder holds no supported file, a pattern matches
            nothing, or nothing was given.
    """
    one = isinstance(paths, str | bytes | os.PathLike)
    try:
        given: list[object] = [paths] if one else list(paths)  # type: ignore[arg-type]
    except TypeError:  # nothing to iterate over
        given = [paths]
    if not given:
        raise DocumentError("no path was given; name a file, a folder or a pattern")
    found: dict[str, Path] = {}
    skipped = 0
    for name in given:
        if not isinstance(name, str | os.PathLike) or "\0" in os.fspath(name):
            raise DocumentError(f"{name!r} is no path; name a file, a folder or a pattern")
        walk = _FolderWalk(options or ReadOptions())
        for path in _expand_name(os.fspath(name), walk):
            found.setdefault(_real(path), path)
        skipped += walk.skipped
    return list(found.values()), skipped


def expand_paths(paths: Paths, options: ReadOptions | None = None) -> list[Path]:
    """List the files that paths, folders and glob patterns stand for, as `find_files` does."""
    return find_files(paths, options)[0]
