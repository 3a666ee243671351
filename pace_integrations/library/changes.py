"""What changes a library's list of documents: values in, values out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pace_integrations.documents import Document, Report
from pace_integrations.documents.corpus import Corpus, NothingReadError
from pace_integrations.documents.discovery import expand_paths
from pace_integrations.documents.options import ReadOptions
from pace_integrations.errors import DocumentError, LibraryFileError
from pace_integrations.library.catalog import Catalog, HeldDocument, Listing, file_stamp, new_key
from pace_integrations.library.shared_catalog import ChangedMeanwhileError

_ATTEMPTS = 16  # of a change, while other writers are faster


@dataclass(frozen=True, slots=True)
class LibraryChange:
    """A change that was made to a library.

    Attributes:
        added: Titles of documents that came.
        replaced: Titles of documents of which there is a new version.
        removed: Titles of documents that went.
        unchanged: Number of documents that stayed as they were.
        read: Tokens that were read.
        report: What became of every file that was looked into.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    read: int = 0
    report: Report = field(default_factory=Report)


@dataclass(frozen=True, slots=True)
class Edit:
    """A library's documents as they shall be.

    Attributes:
        held: The documents.
        next_number: The number that the next new page gets.
        change: What is different.
    """

    held: tuple[HeldDocument, ...]
    next_number: int
    change: LibraryChange


def apply_edit(catalog: Catalog, edit: Callable[[Listing], Edit]) -> tuple[Listing, Edit]:
    """Change a library, anew where another writer was faster; return what it held before, too.

    Args:
        catalog: Its documents.
        edit: What to make of them.

    Raises:
        LibraryFileError: It cannot be written, or others change it all the time.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(ChangedMeanwhileError), catalog.change() as listing:
            made = edit(listing)
            catalog.save(made.held, made.next_number, listing.settings)
            return listing, made
    raise LibraryFileError(f"{str(catalog.folder)!r} is changed all the time; try again later")


def put_documents(listing: Listing, corpus: Corpus, *, replace: bool) -> Edit:
    """Add documents, or put them in the place of their older versions.

    Pages of a new version that are as they were keep their numbers; others get new ones, and a
    number that was given out is never given out again: an answer that cited it stays true.

    Args:
        listing: The library's documents.
        corpus: What comes.
        replace: Whether documents of the same source (or title, without one) are older versions.
    """
    held = list(listing.held)
    places = {_place_key(item.document): i for i, item in enumerate(held)}
    known = {_identity(item.document): i for i, item in enumerate(held)}
    added, replaced, number = [], [], listing.next_number
    for document in corpus.documents:
        if (same := known.get(_identity(document))) is not None:
            # The file may have been written anew with what it held.
            held[same] = dataclasses.replace(held[same], stamp=file_stamp(document.source))
            continue
        known[_identity(document)] = len(held)
        at = places.get(_place_key(document)) if replace else None
        old = held[at] if at is not None else None
        numbers, number = _number_pages(document, old, number)
        new = HeldDocument(
            old.key if old else new_key(), document, numbers, file_stamp(document.source)
        )
        if at is None:
            held.append(new)
            added.append(document.title)
        else:
            held[at] = new
            replaced.append(document.title)
    change = LibraryChange(
        tuple(added),
        tuple(replaced),
        unchanged=len(listing.held) - len(replaced),
        report=corpus.report,
    )
    return Edit(tuple(held), number, change)


def _number_pages(
    document: Document, old: HeldDocument | None, number: int
) -> tuple[tuple[int, ...], int]:
    """Return the numbers of a document's pages, and the next one that is free."""
    free: dict[tuple[object, ...], list[int]] = {}
    for own, page in old.numbered_pages() if old else ():
        free.setdefault((page.label, page.section, page.text), []).append(own)
    numbers = []
    for page in document.pages:
        same = free.get((page.label, page.section, page.text))
        if same:
            numbers.append(same.pop(0))
        else:
            numbers.append(number)
            number += 1
    return tuple(numbers), number


def remove_documents(listing: Listing, names: Iterable[str]) -> Edit:
    """Remove documents by id, title or source.

    Raises:
        DocumentError: A name fits no document.
    """
    gone = {item.key for item in listing.find(names)}
    left = tuple(item for item in listing.held if item.key not in gone)
    titles = tuple(item.document.title for item in listing.held if item.key in gone)
    return Edit(left, listing.next_number, LibraryChange(removed=titles, unchanged=len(left)))


def match_documents(listing: Listing, corpus: Corpus) -> Edit:
    """Make a library hold the documents of a corpus and no others."""
    wanted = {_place_key(document) for document in corpus.documents}
    left = tuple(item for item in listing.held if _place_key(item.document) in wanted)
    gone = tuple(
        item.document.title for item in listing.held if _place_key(item.document) not in wanted
    )
    first = Edit(left, listing.next_number, LibraryChange(removed=gone, unchanged=len(left)))
    between = dataclasses.replace(listing, held=left)
    return join_edits(listing, first, put_documents(between, corpus, replace=True))


def join_edits(listing: Listing, first: Edit, second: Edit) -> Edit:
    """Return two edits, one made after the other, as one."""
    one, other = first.change, second.change
    changed = len(other.replaced) + len(one.removed)
    change = LibraryChange(
        other.added,
        other.replaced,
        one.removed,
        unchanged=len(listing.held) - changed,
        report=other.report,
    )
    return Edit(second.held, second.next_number, change)


@dataclass(frozen=True, slots=True)
class FolderScan:
    """The difference between a folder and a library.

    Attributes:
        changed: Files that are new, or not as they were read.
        gone: Sources of documents of this folder whose files are gone.
        same: Number of documents whose files are as they were.
    """

    changed: tuple[Path, ...]
    gone: tuple[str, ...]
    same: int


def scan_folder(listing: Listing, folder: Path, options: ReadOptions) -> FolderScan:
    """Compare a folder with a library by the sizes and times of its files.

    Raises:
        DocumentError: There is no such folder.
    """
    if not folder.is_dir():
        raise DocumentError(f"{str(folder)!r} is no folder; name the folder to keep in step with")
    try:
        files = [Path(path) for path in expand_paths([folder], options)]
    except DocumentError:  # nothing in it, or nothing that can be read
        files = []
    base = os.path.realpath(folder)
    inside = {
        source: item
        for item in listing.held
        if (source := item.document.source) is not None
        and os.path.realpath(source).startswith(base + os.sep)
    }
    by_path = {os.path.realpath(source): item for source, item in inside.items()}
    changed, same = [], set()
    for path in files:
        item = by_path.get(os.path.realpath(path))
        if item is not None and item.stamp is not None and item.stamp == file_stamp(str(path)):
            same.add(item.document.source)
        else:
            changed.append(path)
    there = {os.path.realpath(path) for path in files}
    gone = tuple(s for s in inside if os.path.realpath(s) not in there)
    return FolderScan(tuple(changed), gone, len(same))


def read_changed(paths: Sequence[Path], options: ReadOptions) -> Corpus:
    """Read files; where none of them can be read the corpus is empty, its report tells why."""
    if not paths:
        return Corpus(())
    try:
        return Corpus.from_paths([*paths], options=options)
    except NothingReadError as error:
        return Corpus((), error.report)


def _place_key(document: Document) -> tuple[str, str]:
    source = document.source
    return ("source", os.path.realpath(source)) if source else ("title", document.title)


def _identity(document: Document) -> tuple[object, ...]:
    return document.sha256, document.title, document.source, document.pages
