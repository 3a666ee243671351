"""Which folders are sessions, and what in them may be removed. Loads no PyTorch.

Nothing is removed for its name alone. While a save is under way, ``.saving`` lists the data folders
of the old and the new session; clearing up afterwards, or at the next save, removes those of them
that the manifest on disk does not name, and in them only files that a save writes.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pace_integrations._files import create_file, make_folder, remove_empty_folder, remove_file
from pace_integrations.errors import SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.manifest import damage_error

_SAVING = ".saving"
_MARK = "pace-integrations session"  # first line of `.saving`
_LOCKS = {".lock", ".reading", ".used", f"{_SAVING}.new"}
_DATA = re.compile(r"data-[0-9a-f]{12}")
_WRITTEN = re.compile(r"corpus\.jsonl|[a-z][a-z0-9.-]*\.safetensors")


def claim_folder(path: Path) -> None:
    """Make a session's folder, or take one that is empty or a session.

    Raises:
        SessionFileError: Something else is there, or the folder cannot be made.
    """
    try:
        if path.exists() and not is_session_folder(path):
            raise SessionFileError(
                f"{str(path)!r} exists and is no saved session; choose another name"
            )
        make_folder(path)
        if not any(os.path.lexists(path / name) for name in (manifests.FILE, _SAVING)):
            note_saving(path)  # the mark of a session until there is a manifest
    except OSError as error:
        raise save_error(path, error) from error


def is_session_folder(path: Path) -> bool:
    """Return True if a folder is empty, a session, or what an interrupted first save left.

    Raises:
        OSError: It may not be looked at.
    """
    if not path.is_dir():
        return False
    bare = {entry.name for entry in path.iterdir()} <= _LOCKS
    return (
        bare
        or _MARK in _saving_lines(path)
        or manifests.is_manifest(path)
        or bool(_find_proven_data(path))  # beside a damaged manifest
    )


def remove_session(path: Path) -> bool:
    """Remove a session and its folder; files that no save writes stay, and then so does the folder.

    Returns:
        True if nothing is left.
    """
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink() and is_session_folder(path):
            remove_session(path / manifests.UNFINISHED)
            note_saving(path, *list_noted_data(path), *find_current_data(path))
            remove_file(path / manifests.FILE)
            if clear_up(path):
                for name in (*_LOCKS, _SAVING):  # the mark last
                    remove_file(path / name)
                remove_empty_folder(path)
    return not os.path.lexists(path)


def note_saving(path: Path, *folders: str) -> None:
    """Write down which data folders a save makes or replaces; the note replaces an earlier one."""
    beside = path / f"{_SAVING}.new"
    remove_file(beside)
    with create_file(beside) as stream:
        stream.write("\n".join([_MARK, *folders]).encode("ascii"))
    os.replace(beside, path / _SAVING)  # noqa: PTH105 - so that a test can make it fail


def _saving_lines(path: Path) -> list[str]:
    """Return the lines of the note in a folder; none where it is not there or not ours.

    Raises:
        OSError: It cannot be read: what it names is then not to be forgotten.
    """
    file = path / _SAVING
    try:
        return [] if file.is_symlink() else file.read_text(encoding="ascii").split("\n")
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return []


def list_noted_data(path: Path) -> list[str]:
    """Return the data folders that a save wrote down."""
    return [line for line in _saving_lines(path) if _DATA.fullmatch(line)]


def _find_named_data(path: Path) -> str | None:
    """Return the data folder that the manifest names; None where there is no manifest.

    Raises:
        SessionFileError: There is one that cannot be understood, so nothing is known to be garbage.
    """
    try:
        os.lstat(path / manifests.FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise damage_error(path, f"{manifests.FILE} cannot be read") from error
    return str(manifests.load_manifest(path)["data"])


def find_current_data(path: Path) -> list[str]:
    """Return the data folders of the session that is there."""
    try:
        named = _find_named_data(path)
    except SessionFileError:
        return _find_proven_data(path)
    return [] if named is None else [named]


def _find_proven_data(path: Path) -> list[str]:
    """Return the data folders that hold a tensor file in which a save wrote the folder's name."""
    found = []
    for folder in path.iterdir():
        if _DATA.fullmatch(folder.name) and not folder.is_symlink():
            with contextlib.suppress(OSError, SafetensorError):
                if any(names_folder(file) for file in folder.glob("*.safetensors")):
                    found.append(folder.name)
    return found


def names_folder(file: Path) -> bool:
    """Return True if a save wrote the name of a tensor file's folder into it."""
    with safe_open(file, framework="numpy") as stream:
        return bool((stream.metadata() or {}).get("data") == file.parent.name)


def clear_up(path: Path) -> bool:
    """Remove what saves wrote down and the manifest does not name. Doing it twice does no more.

    Returns:
        True if all of it is gone.

    Raises:
        SessionFileError: The manifest cannot be understood; nothing is removed.
    """
    named = _find_named_data(path)
    for name in (manifests.BESIDE, f"{_SAVING}.new"):
        remove_file(path / name)
    garbage = [path / name for name in list_noted_data(path) if name != named]
    gone = sum(map(_remove_data, garbage)) == len(garbage)  # all of them, also after one that stays
    if gone and named is not None:
        remove_file(path / _SAVING)
    return gone


def _remove_data(folder: Path) -> bool:
    """Remove the files that a save writes, and their folder if nothing else is in it."""
    if not folder.is_symlink() and folder.is_dir():
        for file in folder.iterdir():
            if _WRITTEN.fullmatch(file.name):
                remove_file(file)
        remove_empty_folder(folder)
    return not os.path.lexists(folder)


def save_error(path: Path, error: OSError) -> SessionFileError:
    """Return the error of a folder that does not take a session."""
    return SessionFileError(
        f"cannot save to {str(path)!r}: {error.strerror or error}; a session that is there is "
        "whole, the earlier one or this one; check space and permissions"
    )
