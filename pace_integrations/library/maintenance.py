"""A library's folder without a model: what it holds, less of it, and its states removed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations._files import remove_file
from pace_integrations._paths import folder_size
from pace_integrations.errors import LibraryFileError
from pace_integrations.library.catalog import FILE, Catalog
from pace_integrations.library.changes import LibraryChange, remove_documents


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """A document of a library.

    Attributes:
        title: Its title.
        id: Its id.
        source: Path of its file, or None.
        pages: Number of its pages.
        numbers: The lowest and the highest number of its pages.
    """

    title: str
    id: str
    source: str | None
    pages: int
    numbers: tuple[int, int]


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A library on disk.

    Attributes:
        path: Its folder.
        documents: Its documents, in the order they came.
        text_bytes: Bytes of its texts.
        state_bytes: Bytes of states, of all models that have read it.
        index_bytes: Bytes of the vectors that pages are found by.
        models: How many models (or precisions) have read it.
    """

    path: str
    documents: tuple[DocumentEntry, ...]
    text_bytes: int
    state_bytes: int
    index_bytes: int
    models: int

    @property
    def pages(self) -> int:
        """Number of its pages."""
        return sum(document.pages for document in self.documents)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON-ready values."""
        return {**asdict(self), "pages": self.pages}


def is_library(folder: Path) -> bool:
    """Return True if a folder is a library."""
    return (folder / FILE).is_file()


def describe_library(folder: Path) -> LibraryEntry:
    """Return what a library holds.

    Raises:
        LibraryFileError: There is none, or it is damaged.
    """
    held = _open_catalog(folder).load().held
    documents = tuple(
        DocumentEntry(
            item.document.title,
            item.document.id,
            item.document.source,
            len(item.numbers),
            (min(item.numbers), max(item.numbers)) if item.numbers else (0, 0),
        )
        for item in held
    )
    sizes = {name: folder_size(folder / name) for name in ("text", "states", "index")}
    models = len([path for path in (folder / "states").glob("*") if path.is_dir()])
    return LibraryEntry(
        str(folder), documents, sizes["text"], sizes["states"], sizes["index"], models
    )


def remove_from_library(folder: Path, names: Sequence[str]) -> LibraryChange:
    """Remove documents by id, title or source, with all that was read of them.

    Raises:
        LibraryFileError: There is no library, or it is damaged.
        DocumentError: A name fits no document.
    """
    catalog = _open_catalog(folder)
    with catalog.change() as listing:
        edit = remove_documents(listing, names)
        left = {item.key for item in edit.held}
        catalog.save(edit.held, edit.next_number, listing.settings)
    for path in _iter_tensor_files(folder, "states", "index"):
        if path.name.split("-")[0] not in left:
            remove_file(path)
    return edit.change


def wipe_states(folder: Path) -> int:
    """Remove the states of all models and return their bytes; text, numbers and index stay.

    Raises:
        LibraryFileError: There is no library, or it is damaged.
    """
    _open_catalog(folder)
    removed = 0
    for path in _iter_tensor_files(folder, "states"):
        with contextlib.suppress(OSError):  # gone meanwhile
            size = path.stat().st_size
            remove_file(path)
            removed += size
    return removed


def _iter_tensor_files(folder: Path, *kinds: str) -> Iterator[Path]:
    for kind in kinds:
        yield from sorted((folder / kind).glob("*/*.safetensors"))


def _open_catalog(folder: Path) -> Catalog:
    if not is_library(folder):
        raise LibraryFileError(f"{str(folder)!r} is no library; make one with pace library add")
    return Catalog(folder, {})
