"""What a library holds, and how that changes: documents on disk, each page read once."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pace_integrations.documents import Corpus, Document, ReadOptions
from pace_integrations.library.blocks import Block
from pace_integrations.library.catalog import Listing
from pace_integrations.library.changes import (
    Edit,
    LibraryChange,
    apply_edit,
    join_edits,
    match_documents,
    put_documents,
    read_changed,
    remove_documents,
    scan_folder,
)
from pace_integrations.library.config import (
    LibraryStats,
)
from pace_integrations.library.reader import BlockReader
from pace_integrations.library.searchable import SearchableLibrary
from pace_integrations.session.citations import Passage
from pace_integrations.session.read_job import Progress, ProgressDisplay


class Holdings(SearchableLibrary):
    """The documents of a library, what a model holds of them, and how both change."""

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, in the order they came."""
        return tuple(item.document for item in self._catalog.load().held)

    @property
    def corpus(self) -> Corpus | None:
        """The documents as a corpus, or None where there are none."""
        documents = self.documents
        return Corpus(documents) if documents else None

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The pages under the numbers that answers cite."""
        return tuple(
            Passage(number, item.document, page)
            for item in self._catalog.load().held
            for number, page in item.numbered_pages()
        )

    def stats(self) -> LibraryStats:
        """Return what it holds and takes up."""
        listing, blocks = self._catalog.load(), self._view().blocks
        pages = sum(len(item.numbers) for item in listing.held)
        if self._single is None:
            return LibraryStats(len(listing.held), pages, len(blocks), len(blocks), None)
        self._single.store.refresh()
        unread, size = len(self._single.unread(blocks)), self._single.store.size()
        return LibraryStats(len(listing.held), pages, len(blocks), unread, size)

    def add(
        self, corpus: Corpus, *, progress: bool | Progress = False, read: bool = True
    ) -> LibraryChange:
        """Add documents and read their pages; those that are there already are skipped.

        Args:
            corpus: What to add.
            progress: True draws a bar; a function is called with tokens done and in all. What was
                read before an interruption is kept, and the next change reads the rest.
            read: False leaves the reading to the next change; until then pages are read when they
                are chosen.
        """
        return self._edit(
            lambda listing: put_documents(listing, corpus, replace=False), progress, read
        )

    def replace(
        self, corpus: Corpus, *, progress: bool | Progress = False, read: bool = True
    ) -> LibraryChange:
        """Put documents in the place of those with the same source, or title where there is none.

        Only pages that are different are read. Documents that fit none that is there are added.

        Args:
            corpus: New versions of documents.
            progress: As in `add`.
            read: As in `add`.
        """
        return self._edit(
            lambda listing: put_documents(listing, corpus, replace=True), progress, read
        )

    def set_documents(
        self, corpus: Corpus, *, progress: bool | Progress = False, read: bool = True
    ) -> LibraryChange:
        """Hold the documents of a corpus and no others; what is held already is not read again.

        Args:
            corpus: All that the library shall hold.
            progress: As in `add`.
            read: As in `add`.
        """
        return self._edit(lambda listing: match_documents(listing, corpus), progress, read)

    def remove(self, *names: str) -> LibraryChange:
        """Remove documents with all that was read of them; nothing else is read again.

        Args:
            names: Documents by id, title or source.

        Raises:
            DocumentError: A name fits no document.
        """
        return self._edit(lambda listing: remove_documents(listing, names), False, False)

    def sync(
        self,
        folder: str | os.PathLike[str],
        *,
        options: ReadOptions | None = None,
        progress: bool | Progress = False,
        read: bool = True,
    ) -> LibraryChange:
        """Make the library hold what a folder holds: add, replace and remove its files.

        Files whose size and time are as they were are not opened. Documents from elsewhere stay.

        Args:
            folder: The folder.
            options: How files are found and read.
            progress: As in `add`.
            read: As in `add`.

        Raises:
            DocumentError: There is no such folder.
        """
        given, place = options or ReadOptions(), Path(folder).expanduser()
        # Parsing takes long: nobody else has to wait for it.
        scan = scan_folder(self._catalog.load(), place, given)
        corpus = read_changed(scan.changed, given)

        def step(listing: Listing) -> Edit:
            sources = {item.document.source for item in listing.held}
            first = remove_documents(listing, [name for name in scan.gone if name in sources])
            between = replace(listing, held=first.held)
            return join_edits(listing, first, put_documents(between, corpus, replace=True))

        return self._edit(step, progress, read)

    def wipe(self) -> None:
        """Remove all states; texts, numbers and index stay, and pages are read when chosen."""
        if self._single is not None:
            self._single.store.wipe()

    def _edit(
        self, change: Callable[[Listing], Edit], progress: bool | Progress, read: bool
    ) -> LibraryChange:
        before, edit = apply_edit(self._catalog, change)
        blocks, tokens = self._view().blocks, 0
        if self._single is not None:
            store = self._single.store
            wanted = {block.key for block in blocks}
            store.refresh(wanted)
            if edit.change.removed or edit.change.replaced:
                left = {item.key for item in edit.held}
                gone = {item.key for item in before.held} - left
                store.keep_only(wanted, left, gone)
            if read:
                tokens = self._read_blocks(self._single, blocks, progress)
            store.send()
        return replace(edit.change, read=tokens)

    def unread_pages(self, numbers: Collection[int] | None = None) -> tuple[int, ...]:
        """Return the numbers of the pages that this model has not read yet, in their order.

        Args:
            numbers: Where to look; None looks at all pages.
        """
        if self._single is None:
            return ()
        blocks = self._find_blocks(numbers)
        return tuple(dict.fromkeys(block.number for block in self._single.unread(blocks)))

    def read_pages(
        self, numbers: Collection[int] | None = None, *, progress: bool | Progress = False
    ) -> int:
        """Read pages that are held and were not read yet, and return how many tokens that were.

        Any number of processes may read parts of one library, on one machine or on many: what one
        has read the others find.

        Args:
            numbers: Numbers of pages; None reads all of them.
            progress: As in `add`.

        Raises:
            LibraryFileError: A shared store does not take what was read.
        """
        if self._single is None:
            return 0
        read = self._read_blocks(self._single, self._find_blocks(numbers), progress)
        self._single.store.send(must=True)
        return read

    def _find_blocks(self, numbers: Collection[int] | None) -> list[Block]:
        """Return the passages of some pages, after a look at what others have read."""
        assert self._single is not None
        wanted, blocks = None if numbers is None else set(numbers), self._view().blocks
        self._single.store.refresh({block.key for block in blocks})
        return [block for block in blocks if wanted is None or block.number in wanted]

    def _read_blocks(
        self, reader: BlockReader, blocks: Sequence[Block], progress: bool | Progress
    ) -> int:
        blocks = reader.unread(blocks)
        if not blocks:
            return 0
        total, done = sum(map(reader.count_tokens, blocks)), 0
        with (
            closing(self._engine.thread.stream(reader.read(blocks))) as steps,
            ProgressDisplay(progress) as show,
        ):
            for done in steps:
                show(done, total)
        return done
