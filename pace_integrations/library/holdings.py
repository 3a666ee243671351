"""What a library holds, and how that changes: documents on disk, each page read once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pace_integrations.documents import Corpus, Document, ReadOptions
from pace_integrations.errors import ConfigError
from pace_integrations.library.blocks import Block, SearchView, divide_document
from pace_integrations.library.catalog import Catalog, HeldDocument, Listing
from pace_integrations.library.changes import (
    Edit,
    LibraryChange,
    join_edits,
    match_documents,
    put_documents,
    read_changed,
    remove_documents,
    scan_folder,
)
from pace_integrations.library.choice import Selector
from pace_integrations.library.config import (
    BUDGET,
    LibraryConfig,
    LibraryStats,
    SelectorMaker,
)
from pace_integrations.library.full_reader import FullReader
from pace_integrations.library.page_store import PageStore
from pace_integrations.library.profile import ReadingProfile, find_profile
from pace_integrations.library.reader import BlockReader, model_key
from pace_integrations.library.selectors import KEYED, make_selector
from pace_integrations.model.engine import Engine
from pace_integrations.session.citations import Passage
from pace_integrations.session.read_job import Progress, ProgressDisplay
from pace_integrations.store.budget import parse_size


class Holdings:
    """The documents of a library, and what a model holds of them.

    Args:
        engine: The model.
        folder: The library's folder.
        config: How it is read and kept.

    Attributes:
        folder: Where it lies.
        attention: ``"pages"`` if every passage is read by itself and kept, ``"full"`` if chosen
            pages are read together.
        exact: Whether that is a way the model was trained to read.
        profile: What the model was trained for.
    """

    def __init__(self, engine: Engine, folder: Path, config: LibraryConfig) -> None:
        self.folder = folder
        self._engine = engine
        trained = config.profile or find_profile(engine.loaded)
        by_page = trained is not None and trained.by_page
        by_training: Literal["pages", "full"] = "pages" if by_page else "full"
        self.attention = by_training if config.attention == "auto" else config.attention
        self.profile = trained or ReadingProfile()
        self.exact = self.attention == "full" or by_page
        self._catalog = Catalog(folder, {"passage": config.passage})
        self._key = model_key(engine, states=config.states)
        self._lock = threading.Lock()
        self._divided: dict[str, tuple[HeldDocument, list[Block]]] = {}
        self._searched: tuple[str, SearchView, dict[object, Selector]] | None = None
        self._selector: str | SelectorMaker = config.selector or self.profile.selector
        # What reads pages by themselves, for their states or for the index alone.
        self._single = self._make_single_reader(config)
        self._reader = self._make_reader()

    def _make_single_reader(self, config: LibraryConfig) -> BlockReader | None:
        keeps = self.attention == "pages"
        if not keeps and self._selector not in KEYED:
            return None
        self._check_keys(self._selector)
        given = config.budget if config.budget is not None else os.environ.get("PACE_BUDGET")
        most = parse_size(BUDGET if given is None else given)
        packed = config.states == "int8"
        name = self.profile.index_name
        store = PageStore(self.folder, self._key, packed=packed, budget=most, index=name)
        return BlockReader(self._engine, store, self.profile, keeps_states=keeps)

    def _make_reader(self) -> BlockReader | FullReader:
        if self.attention == "full":
            return FullReader(self._engine, self._single)
        assert self._single is not None
        return self._single

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
        with self._catalog.change() as listing:
            edit = change(listing)
            self._catalog.save(edit.held, edit.next_number, listing.settings)
        blocks, tokens = self._view().blocks, 0
        if self._single is not None:
            store = self._single.store
            store.refresh()
            if edit.change.removed or edit.change.replaced:
                store.keep_only({b.key for b in blocks}, {item.key for item in edit.held})
            if read:
                tokens = self._read(self._single, blocks, progress)
        return replace(edit.change, read=tokens)

    def _read(self, reader: BlockReader, blocks: Sequence[Block], progress: bool | Progress) -> int:
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

    # --- Searching it ---

    def _view(self) -> SearchView:
        """Return the passages as they are on disk now."""
        with self._lock:
            return self._find_view()[1]

    def _find_selector(self, given: str | SelectorMaker | None) -> Selector:
        """Return a selector over the passages as they are now; it is kept until they change."""
        wanted = given or self._selector
        self._check_keys(wanted)
        with self._lock:
            _, view, selectors = self._find_view()
            if wanted not in selectors:
                made = make_selector(wanted, view) if isinstance(wanted, str) else wanted(view)
                selectors[wanted] = made
            return selectors[wanted]

    def _check_keys(self, selector: str | SelectorMaker) -> None:
        """Refuse a selector that looks for keys where there are none."""
        keyed = selector in KEYED
        if keyed and not self.profile.index_layers:
            raise ConfigError(
                f"selector={selector!r} needs a model of which it is known which of its keys find "
                "pages; take 'bm25', or find them once with pace calibrate --heads"
            )
        if keyed and self.attention == "full" and self._selector not in KEYED:
            raise ConfigError(
                f"selector={selector!r} needs an index of keys, which this library does not keep; "
                f"open it with selector={selector!r}, or take 'bm25'"
            )

    def _find_view(self) -> tuple[str, SearchView, dict[object, Selector]]:
        listing = self._catalog.load()
        if self._searched is None or self._searched[0] != listing.stamp:
            size = listing.settings["passage"] if self.attention == "pages" else None
            blocks: list[Block] = []
            divided: dict[str, tuple[HeldDocument, list[Block]]] = {}
            for held in listing.held:
                known = self._divided.get(held.key)
                # Documents that did not change are the same objects.
                if known is None or known[0].document is not held.document:
                    known = (held, divide_document(held, self._key, size))
                divided[held.key] = known
                blocks += known[1]
            self._divided = divided
            reader = self._reader
            view = SearchView(blocks, reader.count_tokens, reader.vectors, reader.query_vectors)
            self._searched = (listing.stamp, view, {})
        return self._searched
