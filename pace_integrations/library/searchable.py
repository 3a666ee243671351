"""A library as a model sees it: passages that can be read, and searched."""

from __future__ import annotations

import os
import threading
from typing import Literal

from pace_integrations.errors import ConfigError
from pace_integrations.library.blocks import Block, SearchView, divide_document
from pace_integrations.library.catalog import HeldDocument
from pace_integrations.library.choice import Selector
from pace_integrations.library.config import (
    BUDGET,
    LibraryConfig,
    SelectorMaker,
)
from pace_integrations.library.full_reader import FullReader
from pace_integrations.library.page_store import PageStore
from pace_integrations.library.place import LibraryPlace
from pace_integrations.library.profile import ReadingProfile, find_profile
from pace_integrations.library.reader import BlockReader, model_key
from pace_integrations.library.selectors import KEYED, make_selector
from pace_integrations.model.engine import Engine
from pace_integrations.store.budget import parse_size


class SearchableLibrary:
    """The passages of a library, what reads them and what chooses among them.

    Args:
        engine: The model.
        place: Where the library lies.
        config: How it is read and kept.

    Attributes:
        folder: Where it lies on this machine, or what is copied of it.
        attention: ``"pages"`` if every passage is read by itself and kept, ``"full"`` if chosen
            pages are read together.
        exact: Whether that is a way the model was trained to read.
        profile: What the model was trained for.
    """

    def __init__(self, engine: Engine, place: LibraryPlace, config: LibraryConfig) -> None:
        self.folder = place.folder
        self._shared = place.shared
        self._engine = engine
        trained = config.profile or find_profile(engine.loaded)
        by_page = trained is not None and trained.by_page
        by_training: Literal["pages", "full"] = "pages" if by_page else "full"
        self.attention = by_training if config.attention == "auto" else config.attention
        self.profile = trained or ReadingProfile()
        self.exact = self.attention == "full" or by_page
        self._catalog = place.open_catalog({"passage": config.passage})
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
        store = PageStore(
            self.folder,
            self._key,
            packed=config.states == "int8",
            budget=most,
            index=self.profile.index_name,
            shared=self._shared,
        )
        return BlockReader(self._engine, store, self.profile, keeps_states=keeps)

    def _make_reader(self) -> BlockReader | FullReader:
        if self.attention == "full":
            return FullReader(self._engine, self._single)
        assert self._single is not None
        return self._single

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
