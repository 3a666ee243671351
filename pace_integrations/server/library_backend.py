"""Backends for documents of any number and length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pace_integrations._files import remove_tree
from pace_integrations.answer import Answer, Citation
from pace_integrations.documents import Corpus
from pace_integrations.documents.quotes.matching import best_quote
from pace_integrations.errors import ContextOverflowError
from pace_integrations.library import Library
from pace_integrations.server.backend import AnswerPieces, Call, Progress, SessionBackend
from pace_integrations.session.citations import Passage, make_citation
from pace_integrations.session.streams import AsyncAnswerStream

if TYPE_CHECKING:
    from pace_integrations.session import Pace


class LibraryBackend:
    """Pages on disk, of which each question takes those that fit it: for any number of documents.

    Args:
        pace: The model.
        folder: Where the library is kept, or its address.
    """

    def __init__(self, pace: Pace, folder: Path | str) -> None:
        self._library = Library.open(folder, pace)

    @property
    def corpus(self) -> Corpus | None:
        """Return the documents it holds, or None."""
        documents = self._library.documents
        return Corpus(documents) if documents else None

    @property
    def tokens(self) -> int:
        """Return the tokens of what it holds; no question takes them all, so none are counted."""
        return 0

    @property
    def passages(self) -> Sequence[Passage]:
        """Return the pages under the numbers that answers cite."""
        return self._library.passages

    def set_corpus(self, corpus: Corpus, progress: Progress) -> None:
        """Hold these documents and no others; what is held already is not read again."""
        self._library.set_documents(corpus, progress=progress)

    def set_texts(self, corpus: Corpus) -> None:
        """Hold these documents and no others; pages are read when a question needs them."""
        self._library.set_documents(corpus, read=False)

    def find_pages(self, query: str, count: int) -> list[Citation]:
        """Return the pages that fit a query best, the best first, each with its best words."""
        found: dict[int, Citation] = {}
        for scored in self._library.find_pages(query, count=4 * count).scored:
            block = scored.block
            if block.number not in found and len(found) < count:
                passage = Passage(block.number, block.document, block.page)
                quote = best_quote(block.page.text, query, query)
                found[block.number] = make_citation(passage, quote, "matched")
        return list(found.values())

    async def ask(self, call: Call) -> Answer:
        """Answer a call."""
        async with await self.start_stream(call) as stream:
            return await stream.drain()

    async def start_stream(self, call: Call) -> AsyncAnswerStream:
        """Answer a call piece by piece."""
        settings = call.settings
        return await self._library.start_stream(
            list(call.messages),
            search=call.question or None,  # the messages also say what tools there are
            generation=settings.generation,
            timeout=settings.timeout,
        )


class GrowingBackend:
    """A session while the documents fit the model's context, a library from then on.

    Args:
        pace: The model.
        folder: Where both are kept.
        namespace: Whose it is.
    """

    def __init__(self, pace: Pace, folder: Path, namespace: str | None) -> None:
        self._pace = pace
        self._place = folder / "library"
        self._session = SessionBackend(pace, folder / "session.pace", namespace)
        self._library: LibraryBackend | None = None
        if self._place.exists():
            self._library = LibraryBackend(pace, self._place)
        else:
            self._session.open()

    @property
    def current(self) -> SessionBackend | LibraryBackend:
        """Return what answers now."""
        return self._library or self._session

    @property
    def corpus(self) -> Corpus | None:
        """Return the documents it holds, or None."""
        return self.current.corpus

    @property
    def tokens(self) -> int:
        """Return the tokens of what it holds in one context."""
        return self.current.tokens

    @property
    def tokens_read(self) -> int:
        """Return the tokens that the model read for the last change of its session."""
        return self._session.tokens_read

    @property
    def passages(self) -> Sequence[Passage]:
        """Return the pages under the numbers that answers cite."""
        return self.current.passages

    def set_corpus(self, corpus: Corpus, progress: Progress) -> None:
        """Hold these documents and no others; what is held already is not read again."""
        if self._library is None:
            try:
                self._session.set_corpus(corpus, progress)
            except ContextOverflowError:
                library = LibraryBackend(self._pace, self._place)
                library.set_corpus(corpus, progress)
                self._library = library
                self._session.set_corpus(Corpus(()), progress)
        else:
            self._library.set_corpus(corpus, progress)

    def find_pages(self, query: str, count: int) -> list[Citation]:
        """Return the pages that fit a query best, the best first, each with its best words."""
        return self.current.find_pages(query, count)

    async def ask(self, call: Call) -> Answer:
        """Answer a call."""
        return await self.current.ask(call)

    async def start_stream(self, call: Call) -> AnswerPieces:
        """Answer a call piece by piece."""
        return await self.current.start_stream(call)


class LocalBackends:
    """Makes what answers in this process.

    Args:
        pace: The model.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def make_backend(self, folder: Path, namespace: str) -> GrowingBackend:
        """Return what answers from the documents kept in a folder."""
        return GrowingBackend(self._pace, folder, namespace or None)

    def make_joint(self, folder: Path) -> LibraryBackend:
        """Return what answers from several libraries at once."""
        return LibraryBackend(self._pace, folder)

    def make_blank(self) -> SessionBackend:
        """Return the model without documents."""
        return SessionBackend(self._pace, None, None)

    def remove(self, folder: Path, namespace: str) -> None:
        """Remove what was kept in a folder, and the folder."""
        remove_tree(folder)
