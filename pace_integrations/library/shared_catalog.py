"""A library's list of documents on a store that several machines reach, with a copy on this one.

``URL/list/00000007.json`` are versions of the list, ``URL/text/`` the texts they name. A writer
sends texts first and then creates the next version, under a name that one writer alone can take;
who comes second makes its change anew on what the first one left. The newest version counts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pace_integrations._files import make_folder, make_lock, remove_file
from pace_integrations.errors import LibraryFileError
from pace_integrations.library.catalog import FILE, Catalog, Listing, write_private
from pace_integrations.library.sealed_list import parse_list
from pace_integrations.store.shared_folder import SharedFolder, is_plain_name

_LISTS = "list"
_TEXTS = "text"
_COPIED = ".copied"  # which version the copy on this machine is of
_COPYING = ".copying"  # lock of who copies or changes
_KEPT = 64  # versions: a slow writer must find that its number is taken
_LOOK = 1.0  # seconds within which what others have changed is seen
_ATTEMPTS = 8
_log = logging.getLogger(__name__)


class ChangedMeanwhileError(Exception):
    """Another writer has made a version since this one looked."""


class SharedCatalog(Catalog):
    """The documents of a library on a shared store.

    Args:
        folder: Where the copy on this machine lies.
        settings: How a new library is made, JSON-ready.
        shared: The library on the store.

    Raises:
        LibraryFileError: The library is damaged, or the store does not answer and nothing of it
            was copied yet.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], shared: SharedFolder) -> None:
        self._shared = shared
        self._looked: float | None = None
        self._changing: int | None = None  # the thread that changes it
        self._copied_once = (folder / FILE).exists()
        super().__init__(folder, settings)
        self._copied_once = True

    def load(self) -> Listing:
        """Return the documents as they are on the store, as of a second ago at most.

        A store that does not answer is no error here: what was copied answers questions.

        Raises:
            LibraryFileError: The list or a text is damaged.
        """
        now, mine = time.monotonic(), self._changing == threading.get_ident()
        if mine or self._looked is None or now - self._looked > _LOOK:
            try:
                self._copy_newest(locked=mine)
                self._looked = now
            except OSError as error:
                if mine or not self._copied_once:
                    raise self._fail(error) from error
                _log.warning("asked as it was copied last: %s", error)
        try:
            return super().load()
        except LibraryFileError as error:  # the copy may be at fault
            try:
                self._copy_anew(locked=mine)
            except OSError:
                raise error from None
            return super().load()

    @contextmanager
    def change(self) -> Iterator[Listing]:
        """Give the documents as they are on the store, to be changed.

        Raises:
            LibraryFileError: The store does not answer, or does not take what is sent.
            ChangedMeanwhileError: `save` found that another writer was faster.
        """
        try:
            make_folder(self.folder)
            # Nobody copies another version under the hands of who makes the next one.
            lock = make_lock(self.folder / _COPYING)
            lock.acquire()
        except OSError as error:
            raise self._fail(error) from error
        try:
            self._changing = threading.get_ident()
            with super().change() as listing:
                yield listing
        finally:
            self._changing = None
            lock.release()

    def _publish(self, data: bytes) -> None:
        rows = json.loads(data)["documents"]
        before = self._named_texts()
        named = {row["text"] for row in rows}
        new = {f"{_TEXTS}/{name}": self.folder / _TEXTS / name for name in named - before}
        self._shared.upload(new)
        number = self._copied_number() + 1
        if not self._shared.create(f"{_LISTS}/{number:08}.json", data):
            raise ChangedMeanwhileError
        super()._publish(data)
        write_private(self.folder / _COPIED, str(number).encode(), replace=True)
        with contextlib.suppress(OSError):  # what stays is in nobody's way
            self._shared.remove(f"{_TEXTS}/{name}" for name in before - named)
            old = [n for n in self._list_numbers() if n <= number - _KEPT]
            self._shared.remove(f"{_LISTS}/{n:08}.json" for n in old)

    def _copy_newest(self, *, locked: bool) -> None:
        """Make the copy on this machine one of the newest version."""
        for _ in range(_ATTEMPTS):
            number = max(self._list_numbers(), default=0)
            whole = (self.folder / FILE).exists() or not number
            if number <= self._copied_number() and whole:
                return
            make_folder(self.folder)
            held = contextlib.nullcontext() if locked else make_lock(self.folder / _COPYING)
            with held, contextlib.suppress(FileNotFoundError):  # gone meanwhile: look again
                self._copy_version(number)
                return
        raise OSError(f"{self._shared.url} changes all the time; try again later")

    def _copy_anew(self, *, locked: bool) -> None:
        self._shared.list(_LISTS)  # nothing goes that cannot be had again
        for path in (self.folder / _COPIED, *(self.folder / _TEXTS).glob("*.json")):
            remove_file(path)
        self._copy_newest(locked=locked)

    def _copy_version(self, number: int) -> None:
        data = self._shared.read(f"{_LISTS}/{number:08}.json")
        try:
            rows = parse_list(data)[0]["documents"]
        except (ValueError, KeyError) as error:
            raise self._damage(f"version {number} of its list {error}") from error
        make_folder(self.folder / _TEXTS)
        names = [row["text"] for row in rows]
        if not all(map(is_plain_name, names)):
            raise self._damage(f"version {number} of its list names no text")
        missing = [name for name in names if not (self.folder / _TEXTS / name).exists()]
        # The name holds a hash of the content, which is compared when a text is loaded.
        self._shared.download_all(
            {f"{_TEXTS}/{name}": (self.folder / _TEXTS / name, None) for name in missing}
        )
        write_private(self.folder / FILE, data, replace=True)
        write_private(self.folder / _COPIED, str(number).encode(), replace=True)
        for path in (self.folder / _TEXTS).glob("*.json"):
            if path.name not in names:  # removed elsewhere
                remove_file(path)

    def _list_numbers(self) -> list[int]:
        stems = (name.removesuffix(".json") for name in self._shared.list(_LISTS))
        return [int(stem) for stem in stems if stem.isdecimal()]

    def _copied_number(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder / _COPIED).read_text("ascii"))
        return 0

    def _named_texts(self) -> set[str]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            rows = parse_list((self.folder / FILE).read_bytes())[0]["documents"]
            return {str(row["text"]) for row in rows}
        return set()

    def _damage(self, what: str) -> LibraryFileError:
        return LibraryFileError(
            f"the library at {self._shared.url!r} is damaged: {what}; take it from a backup, or "
            "make it again from the documents"
        )

    def _fail(self, error: OSError) -> LibraryFileError:
        return LibraryFileError(
            f"the library at {self._shared.url!r} cannot be reached: {error.strerror or error}; "
            "check the address, the network and what the store needs to let you in"
        )
