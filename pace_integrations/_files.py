"""File operations that are safe for data at rest: private, never through links, synced.

Every operation goes through a function of `os`, so that a test can make each of them fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock, FileLock

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_MARK = ".pace-cache"
_BUFFER = 2**20  # bytes; a tensor is written in many small pieces
# O_NOFOLLOW and O_BINARY exist where they mean something.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, for nobody but the user.

    Raises:
        OSError: It cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    try:
        os.mkdir(path, FOLDER_MODE)  # noqa: PTH102 - the one place
    except FileExistsError:
        if not path.is_dir():
            raise


def create_file(path: Path) -> BinaryIO:
    """Create a file that was not there, for nobody but the user.

    Raises:
        OSError: It is there, also as a link, or cannot be made.
    """
    return os.fdopen(os.open(path, _NEW | _FLAGS, FILE_MODE), "wb", _BUFFER)


def touch_file(path: Path) -> None:
    """Set a file's time to now; make it, empty and private, where it is not there."""
    if path.is_symlink():
        remove_file(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | _FLAGS, FILE_MODE))
    os.utime(path)


def remove_file(path: Path) -> None:
    """Remove a file or a link, never what a link points to; it need not be there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - the one place


def remove_empty_folder(path: Path) -> None:
    """Remove a folder; one that is gone or not empty stays as it is."""
    with contextlib.suppress(OSError):
        os.rmdir(path)  # noqa: PTH106 - the one place


def make_lock(path: Path, timeout: float = -1, *, of_thread: bool = True) -> BaseFileLock:
    """Return a lock between processes on a file that only the user can open.

    Args:
        path: The file; a link in its place is removed, since locking truncates.
        timeout: Seconds that acquiring waits; -1 waits without end.
        of_thread: Whether only the thread that acquires it can release it.
    """
    if path.is_symlink():
        remove_file(path)
    return FileLock(path, timeout=timeout, mode=FILE_MODE, thread_local=of_thread)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    with contextlib.ExitStack() as stack:
        try:
            handle = os.open(path, os.O_RDONLY)
        except PermissionError:  # folders, on Windows
            return
        stack.callback(os.close, handle)
        os.fsync(handle)


def make_cache_folder(path: Path) -> None:
    """Make a folder whose whole content is ours to remove, and mark it so.

    One that is there is marked only if it is empty; it serves without the mark too, but nothing in
    it is then removed for its name alone.

    Raises:
        OSError: It cannot be made or marked.
    """
    make_folder(path)
    if not is_cache_folder(path) and not os.listdir(path):  # noqa: PTH208 - so that a test can fail
        mark_cache_folder(path)


def mark_cache_folder(path: Path) -> None:
    """Mark a folder as one whose whole content is ours to remove."""
    with contextlib.suppress(FileExistsError), create_file(path / _MARK) as stream:
        stream.write(b"Made by pace-integrations; the whole folder can be removed.\n")


def is_cache_folder(path: Path) -> bool:
    """Return True if a folder is marked as ours, and so is everything in it."""
    mark = path / _MARK
    return mark.is_file() and not mark.is_symlink()


def remove_tree(path: Path) -> bool:
    """Remove a folder with all that is in it, or a link; links inside are not followed.

    Returns:
        True if nothing is left.
    """
    with contextlib.suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            remove_file(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)
