"""Which files were written on this machine and are not on the shared store yet.

Each process notes them in a folder of its own, ``.unsent-<id>/``, whose lock it holds as long as it
lives. A note is there before its file is, and until the store lists the file: what a process leaves
that is killed is found by the next one, and sent once.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import BaseFileLock

from pace_integrations._files import (
    create_file,
    make_folder,
    make_lock,
    remove_empty_folder,
    remove_file,
    sync,
)
from pace_integrations.library.catalog import write_private

_PREFIX = ".unsent-"
_SUFFIX = ".safetensors"
_NUMBER = ".number"  # of the newest manifest when the store was about to list what is noted


class UnsentNotes:
    """The notes of all processes about one folder of files.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Path | None = None
        self._held: dict[Path, BaseFileLock] = {}  # folders of notes that are ours to change

    def names(self) -> set[str]:
        """Return the names of the files that any process has noted."""
        return {name for folder in self._folders() for name in _list_names(folder)}

    def add(self, name: str) -> None:
        """Note a file that is about to be written.

        Raises:
            OSError: The folder cannot be written.
        """
        if self._own is None:
            folder = self._folder / f"{_PREFIX}{uuid.uuid4().hex[:12]}"
            # Locked before it can be seen, or another process would take it over.
            lock = _lock_of(folder)
            lock.acquire()
            make_folder(folder)
            self._own, self._held[folder] = folder, lock
        with contextlib.suppress(FileExistsError):
            create_file(_note_of(self._own, name)).close()
        sync(self._own)

    def mark(self, number: int) -> None:
        """Say that the store is about to list what is noted.

        Args:
            number: The number of its newest manifest. Another one later means that it may have
                listed them, and taken them off again.

        Raises:
            OSError: The folder cannot be written.
        """
        for folder in self._held:
            write_private(folder / _NUMBER, str(number).encode(), replace=True)

    def discard(self, names: Iterable[str]) -> None:
        """Forget files that are on the store, or must not get there."""
        given = list(names)
        for folder in list(self._held):
            with contextlib.suppress(OSError):  # who finds the note finds the file listed
                for name in given:
                    remove_file(_note_of(folder, name))
                if not _list_names(folder):
                    self._retire(folder)

    def take_over(self) -> dict[str, int | None]:
        """Return what processes have noted that are no more, which is ours from now on.

        Returns:
            The names of files, each with the number that `mark` has noted.
        """
        found: dict[str, int | None] = {}
        for folder in self._folders():
            if folder in self._held:
                continue
            lock = _lock_of(folder)
            try:
                lock.acquire()
            except OSError:  # it lives, or has just cleared up
                continue
            self._held[folder] = lock
            found |= dict.fromkeys(_list_names(folder), _read_number(folder))
        self.discard(())
        return found

    def _folders(self) -> Iterator[Path]:
        return (path for path in self._folder.glob(f"{_PREFIX}*") if path.is_dir())

    def _retire(self, folder: Path) -> None:
        """Remove a folder without notes, and its lock after it."""
        for path in folder.glob(".*"):  # the number, also half written
            remove_file(path)
        remove_empty_folder(folder)
        if not folder.exists():
            self._own = None if folder == self._own else self._own
            self._held.pop(folder).release()
            remove_file(_place_lock(folder))


def _list_names(folder: Path) -> list[str]:
    """Return the files that are noted in a folder of notes; none where it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return [f"{p.name}{_SUFFIX}" for p in folder.iterdir() if not p.name.startswith(".")]
    return []


def _note_of(folder: Path, name: str) -> Path:
    return folder / name.removesuffix(_SUFFIX)


def _place_lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _lock_of(folder: Path) -> BaseFileLock:
    # Pages are read on the model's thread and sent from any other.
    return make_lock(_place_lock(folder), timeout=0, of_thread=False)


def _read_number(folder: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((folder / _NUMBER).read_text("ascii"))
    return None
