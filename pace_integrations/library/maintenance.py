"""A library without a model: what it holds, less of it, and its states removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations._files import remove_file, remove_tree
from pace_integrations._paths import folder_size
from pace_integrations.errors import LibraryFileError
from pace_integrations.library.catalog import FILE, Catalog
from pace_integrations.library.changes import LibraryChange, apply_edit, remove_documents
from pace_integrations.library.place import LibraryPlace, find_place
from pace_integrations.library.shared_shelf import list_shelves
from pace_integrations.library.state_files import document_of, measure_files

# On a shared store, in the order in which they go: what names the rest goes first, so that a
# library whose removal was interrupted is empty, and can be removed again.
_SHARED_FOLDERS = ("list", "text", "parts", "states", "index")


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
        path: Its folder or address.
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


def describe_library(place: str | os.PathLike[str]) -> LibraryEntry:
    """Return what a library holds.

    Args:
        place: Its folder or address.

    Raises:
        LibraryFileError: There is none, or it is damaged.
    """
    found = find_place(place)
    held = _open_catalog(found).load().held
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
    states, index = _measure_models(found, "states"), _measure_models(found, "index")
    text = folder_size(found.folder / "text")
    return LibraryEntry(str(place), documents, text, sum(states), sum(index), len(states))


def remove_from_library(place: str | os.PathLike[str], names: Sequence[str]) -> LibraryChange:
    """Remove documents by id, title or source, with all that was read of them.

    Args:
        place: The library's folder or address.
        names: The documents.

    Raises:
        LibraryFileError: There is no library, or it is damaged.
        DocumentError: A name fits no document.
    """
    found = find_place(place)
    catalog = _open_catalog(found)
    before, edit = apply_edit(catalog, lambda listing: remove_documents(listing, names))
    left = {item.key for item in edit.held}
    gone = {item.key for item in before.held} - left

    def leaves(name: str) -> bool:
        # In a folder what no document names goes too; on a store another writer may have added it.
        key = document_of(name)
        return key not in left if found.shared is None else key in gone

    for kind in ("states", "index"):
        _remove_files(found, kind, leaves)
    return edit.change


def wipe_states(place: str | os.PathLike[str]) -> int:
    """Remove the states of all models and return their bytes; text, numbers and index stay.

    Args:
        place: The library's folder or address.

    Raises:
        LibraryFileError: There is no library, or it is damaged.
    """
    found = find_place(place)
    _open_catalog(found)
    removed = sum(_measure_models(found, "states"))
    _remove_files(found, "states", lambda _: True)
    return removed


def remove_shared_library(url: str) -> None:
    """Remove a library from a store that several machines reach, and what is copied of it here.

    Texts, states and index of all models go; what else lies at the address stays. There need not be
    a library.

    Raises:
        LibraryFileError: The store does not answer.
    """
    place = find_place(url)
    assert place.shared is not None
    with _told_of(place):
        for name in _SHARED_FOLDERS:
            place.shared.remove_folder(name)
    remove_tree(place.folder)


def _measure_models(place: LibraryPlace, kind: str) -> list[int]:
    """Return the bytes that are kept of one kind for each model."""
    if place.shared is None:
        folders = [path for path in (place.folder / kind).glob("*") if path.is_dir()]
        return [sum(s.st_size for s in measure_files(folder).values()) for folder in folders]
    with _told_of(place):
        shelves = list_shelves(place.shared, kind, place.folder)
    return [sum(file.seal.bytes for file in shelf.files.values()) for shelf in shelves]


def _remove_files(place: LibraryPlace, kind: str, leaves: Callable[[str], bool]) -> None:
    """Remove files of some names, here and where they are shared."""
    if place.shared is not None:
        with _told_of(place):
            for shelf in list_shelves(place.shared, kind, place.folder):
                shelf.remove(leaves)
    for path in (place.folder / kind).glob("*/*.safetensors"):
        if leaves(path.name):
            remove_file(path)


@contextmanager
def _told_of(place: LibraryPlace) -> Iterator[None]:
    """Say of a store that does not answer which library it was."""
    try:
        yield
    except OSError as error:
        raise LibraryFileError(
            f"the library at {place.shared and place.shared.url!r} cannot be reached: "
            f"{error.strerror or error}; check the address and the network, and try again"
        ) from error


def _open_catalog(place: LibraryPlace) -> Catalog:
    if place.shared is not None:
        catalog = place.open_catalog({})  # copies it
        if is_library(place.folder):
            return catalog
    elif is_library(place.folder):
        return place.open_catalog({})
    name = place.shared.url if place.shared is not None else str(place.folder)
    raise LibraryFileError(f"{name!r} is no library; make one with pace library add")
