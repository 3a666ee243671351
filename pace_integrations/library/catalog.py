"""What a library holds: its documents' text under page numbers that are given out once.

``FOLDER/`` holds ``library.json`` and one text file for each document. Text is written first and
named by the list, which is replaced at once and is the only step that counts: interrupted before
it, the library is as it was; after it, the change is made. A process that changes it holds a lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pace_integrations._files import create_file, make_folder, make_lock, remove_file, sync
from pace_integrations.documents import Document, Page
from pace_integrations.errors import DocumentError, LibraryFileError
from pace_integrations.library.sealed_list import parse_list, seal_list

FORMAT = 1
FILE = "library.json"
_ATTEMPTS = 8  # of a reader, while other processes change the library under its hands


class _GoneError(Exception):
    """A text that the list names is not there."""


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """A document of a library.

    Attributes:
        key: Its key in this library; a new version of the document keeps it.
        document: The document.
        numbers: The number of each of its pages.
        stamp: Size and time of its file when it was read, or None for text from no file.
    """

    key: str
    document: Document
    numbers: tuple[int, ...]
    stamp: tuple[int, int] | None = None

    def numbered_pages(self) -> Iterator[tuple[int, Page]]:
        """Yield the pages under their numbers."""
        return zip(self.numbers, self.document.pages, strict=True)


@dataclass(frozen=True, slots=True)
class Listing:
    """A library's documents at one time.

    Attributes:
        held: The documents, in the order they came.
        next_number: The number that the next new page gets.
        settings: How the library was made.
        stamp: Tells listings apart.
    """

    held: tuple[HeldDocument, ...]
    next_number: int
    settings: Mapping[str, Any]
    stamp: str

    def find(self, names: Iterable[str]) -> list[HeldDocument]:
        """Return the documents that some names fit.

        Args:
            names: Ids, titles or sources.

        Raises:
            DocumentError: A name fits no document.
        """
        wanted, found = list(names), []
        known = {x for h in self.held for x in _names_of(h)}
        if unknown := [name for name in wanted if name not in known]:
            titles = [h.document.title for h in self.held[:20]]
            raise DocumentError(f"no document {unknown[0]!r} in this library; it holds {titles}")
        for held in self.held:
            if set(wanted) & set(_names_of(held)):
                found.append(held)
        return found


class Catalog:
    """The documents of a library on disk.

    Args:
        folder: The library's folder; it is made with the first change.
        settings: How a new library is made, JSON-ready.

    Raises:
        LibraryFileError: The folder holds something else, or a damaged library.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = dict(settings)
        self._seen: tuple[object, Listing] | None = None
        self._texts: dict[str, Document] = {}
        if folder.exists() and not (folder.is_dir() and _is_ours(folder)):
            raise LibraryFileError(f"{str(folder)!r} exists and is no library; choose another name")
        self.load()

    def load(self) -> Listing:
        """Return the documents as they are on disk now; texts read before are not read again.

        Raises:
            LibraryFileError: The list or a text is damaged.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._load()
            except _GoneError as gone:
                # Another process changed the library between its list and its texts.
                damage = self._damage(str(gone))
        raise damage

    def _load(self) -> Listing:
        path = self.folder / FILE
        try:
            status = path.stat()
            mark = (status.st_mtime_ns, status.st_ino, status.st_size)
            if self._seen is not None and self._seen[0] == mark:
                return self._seen[1]
            saved, seal = parse_list(path.read_bytes())
        except FileNotFoundError:
            return Listing((), 1, self._settings, "")
        except OSError as error:
            raise self._damage(f"{FILE} cannot be read") from error
        except ValueError as error:
            raise self._damage(f"{FILE} {error}") from error
        if saved.get("format") != FORMAT:
            raise LibraryFileError(
                f"{str(self.folder)!r} has format {saved.get('format')!r}, and this version reads "
                f"{FORMAT}; open it with the version that made it"
            )
        held = tuple(self._load_document(row) for row in saved["documents"])
        used = {row["text"] for row in saved["documents"]}
        self._texts = {name: text for name, text in self._texts.items() if name in used}
        listing = Listing(held, saved["next_number"], saved["settings"], seal)
        self._seen = (mark, listing)
        return listing

    @contextmanager
    def change(self) -> Iterator[Listing]:
        """Keep other processes from changing the library; gives its documents as they are.

        Raises:
            LibraryFileError: The folder cannot be written.
        """
        try:
            make_folder(self.folder)
            with make_lock(self.folder / ".lock"):
                yield self.load()
        except OSError as error:
            raise LibraryFileError(
                f"cannot write the library in {str(self.folder)!r}: {error.strerror or error}; "
                "what it held is unchanged; check space and permissions"
            ) from error

    def save(
        self, held: Sequence[HeldDocument], next_number: int, settings: Mapping[str, Any]
    ) -> Listing:
        """Put other documents in the place of those that are there. Call it within `change`."""
        texts = self.folder / "text"
        make_folder(texts)
        rows = []
        for item in held:
            name = self._text_name(item)
            if not (texts / name).exists():
                write_private(texts / name, json.dumps(item.document.to_dict()).encode())
            rows.append(
                {
                    "key": item.key,
                    "text": name,
                    "title": item.document.title,
                    "source": item.document.source,
                    "numbers": item.numbers,
                    "stamp": item.stamp,
                }
            )
        sync(texts)
        saved = {
            "format": FORMAT,
            "next_number": next_number,
            "settings": dict(settings),
            "documents": rows,
        }
        saved = json.loads(json.dumps(saved))
        self._publish(json.dumps({**saved, "sha256": seal_list(saved)}).encode())
        used = {row["text"] for row in rows}
        for old in texts.glob("*.json"):
            if old.name not in used:
                remove_file(old)
        return self.load()

    def _publish(self, data: bytes) -> None:
        """Put another list in the place of the one that is there: the step that counts."""
        write_private(self.folder / FILE, data, replace=True)
        sync(self.folder)

    def _text_name(self, held: HeldDocument) -> str:
        text = json.dumps(held.document.to_dict(), sort_keys=True)
        name = f"{held.key}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        self._texts[name] = held.document
        return name

    def _load_document(self, row: dict[str, Any]) -> HeldDocument:
        name = row["text"]
        if name not in self._texts:
            try:
                saved = json.loads((self.folder / "text" / name).read_text(encoding="utf-8"))
                document = Document.from_dict(saved)
            except FileNotFoundError as error:
                raise _GoneError(f"the text of {row['title']!r} is missing") from error
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise self._damage(f"the text of {row['title']!r} cannot be read") from error
            text = json.dumps(document.to_dict(), sort_keys=True)
            if not name.endswith(f"-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"):
                raise self._damage(f"the text of {row['title']!r} was changed")
            self._texts[name] = document
        stamp = tuple(row["stamp"]) if row["stamp"] else None
        return HeldDocument(row["key"], self._texts[name], tuple(row["numbers"]), stamp)

    def _damage(self, what: str) -> LibraryFileError:
        return LibraryFileError(
            f"the library in {str(self.folder)!r} is damaged: {what}; take it from a backup, or "
            "make it again from the documents"
        )


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file atomically, readable by its owner alone.

    Args:
        path: The file.
        data: Its content.
        replace: Whether it may replace one that is there; otherwise that one stays.
    """
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}.tmp")
    try:
        with create_file(beside) as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if replace or not path.exists():
            beside.replace(path)
    finally:
        remove_file(beside)


def new_key() -> str:
    """Return a key that no document has yet."""
    return uuid.uuid4().hex[:16]


def file_stamp(source: str | None) -> tuple[int, int] | None:
    """Return size and time of a file, or None where there is none."""
    if source is None:
        return None
    with contextlib.suppress(OSError):
        status = Path(source).stat()
        return status.st_size, status.st_mtime_ns
    return None


def _names_of(held: HeldDocument) -> list[str]:
    document = held.document
    return [x for x in (document.id, document.title, document.source) if x]


def _is_ours(folder: Path) -> bool:
    """Return True if a folder is empty, a library, or what an interrupted first change left."""
    own = {".lock", ".copying", "text", "states", "index"}
    return (folder / FILE).is_file() or all(
        entry.name in own or entry.name.startswith(f".{FILE}-") for entry in folder.iterdir()
    )
