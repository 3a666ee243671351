"""What a library needs of whatever reads its pages and answers from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pace_integrations.adapters.answer_format import AnswerFormat
from pace_integrations.adapters.batching import AnswerBatcher
from pace_integrations.adapters.call_settings import CallSettings
from pace_integrations.adapters.chat_request import AsyncRequestStream, ChatRequest
from pace_integrations.adapters.prefix_cache import PrefixCache
from pace_integrations.answer import Answer, Citation
from pace_integrations.documents import Corpus, Document
from pace_integrations.documents.quotes.matching import best_quote
from pace_integrations.errors import (
    ContextOverflowError,
    DocumentError,
    IncompatibleSessionError,
    SessionFileError,
)
from pace_integrations.session.citations import Passage, make_citation
from pace_integrations.store.ownership import remove_session

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message
    from pace_integrations.session import Pace, Session

_PROMPTS = 8  # prompts of a library that stay computed
_MIN_ROOM = 16  # tokens of an answer below which a prompt counts as too long
_log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked.

    Attributes:
        messages: The conversation, with all that the model is told.
        settings: How the answer is written, and how long it may take.
        format: What the answer must look like.
        question: What the user said last, without what the model is told of tools and schemas.
    """

    messages: Sequence[Message]
    settings: CallSettings
    format: AnswerFormat = field(default_factory=AnswerFormat)
    question: str = ""


class AnswerPieces(Protocol):
    """An answer while it is written."""

    @property
    def answer(self) -> Answer:
        """Return the whole answer, once all pieces are there."""
        ...

    async def __anext__(self) -> str:
        """Return the next piece of text."""
        ...

    async def aclose(self) -> None:
        """Stop the generation."""
        ...


class Backend(Protocol):
    """Pages that were read, and what can be done with them.

    Methods that are not asynchronous may take long; they are called off the event loop.
    """

    @property
    def corpus(self) -> Corpus | None:
        """Return the documents it holds, or None."""
        ...

    @property
    def tokens(self) -> int:
        """Return the tokens of what it holds."""
        ...

    @property
    def passages(self) -> Sequence[Passage]:
        """Return the pages under the numbers that answers cite."""
        ...

    def set_corpus(self, corpus: Corpus, progress: Progress) -> None:
        """Hold these documents and no others; what is held already is not read again."""
        ...

    def find_pages(self, query: str, count: int) -> list[Citation]:
        """Return the pages that fit a query best, the best first, each with its best words."""
        ...

    async def ask(self, call: Call) -> Answer:
        """Answer a call."""
        ...

    async def start_stream(self, call: Call) -> AnswerPieces:
        """Answer a call piece by piece."""
        ...


class TextBackend(Backend, Protocol):
    """Pages that may be held as text alone, and are read when a question needs them."""

    def set_texts(self, corpus: Corpus) -> None:
        """Hold these documents and no others."""
        ...


class ServedModel(Protocol):
    """What the server itself asks of a model; a `Pace` is one."""

    @property
    def name(self) -> str:
        """Return the name or path it was asked for by."""
        ...

    @property
    def context_window(self) -> int:
        """Return the most tokens of documents, question and answer together."""
        ...

    @property
    def knows_tools(self) -> bool:
        """Return True where it was trained to call tools."""
        ...

    def token_ids(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        ...


class Backends(Protocol):
    """Makes what answers: in this process, or elsewhere."""

    def make_backend(self, folder: Path, namespace: str) -> Backend:
        """Return what answers from the documents kept in a folder."""
        ...

    def make_joint(self, folder: Path) -> TextBackend:
        """Return what answers from several libraries at once."""
        ...

    def make_blank(self) -> Backend:
        """Return the model without documents."""
        ...

    def remove(self, folder: Path, namespace: str) -> None:
        """Remove what was kept in a folder, and the folder."""
        ...


class SessionBackend:
    """All pages in one context: for what fits a model's window.

    Args:
        pace: The model.
        folder: Where the session is kept; None keeps none.
        namespace: Whose it is.
        batch: Most questions that are answered together.
    """

    def __init__(
        self, pace: Pace, folder: Path | None, namespace: str | None, batch: int = 16
    ) -> None:
        self._pace = pace
        self._folder = folder
        self._namespace = namespace
        self._batcher = AnswerBatcher(batch)
        self._session: Session = pace.blank()
        self._prefixes = PrefixCache(self._session, _PROMPTS)

    @property
    def corpus(self) -> Corpus | None:
        """Return the documents it holds, or None."""
        return self._session.corpus

    @property
    def tokens(self) -> int:
        """Return the tokens of what it holds."""
        return self._session.tokens

    @property
    def passages(self) -> Sequence[Passage]:
        """Return the pages under the numbers that answers cite."""
        return self._session.passages

    @property
    def tokens_read(self) -> int:
        """Return the tokens read for the last change, those found on disk left out."""
        return self._session.read_cost.read

    def open(self) -> bool:
        """Open what was kept; return whether there was anything that this model can use."""
        if self._folder is None or not self._folder.exists():
            return False
        try:
            session = self._pace.open(self._folder, verify="fast", namespace=self._namespace)
        except (IncompatibleSessionError, SessionFileError) as error:
            _log.warning("%s is read again: %s", self._folder, error)
            remove_session(self._folder)
            return False
        self._take_session(session)
        return True

    def set_corpus(self, corpus: Corpus, progress: Progress) -> None:
        """Hold these documents and no others; what is held already is not read again."""
        if not corpus.documents:
            self._take_session(self._pace.blank())
            if self._folder is not None:
                remove_session(self._folder)
            return
        path = self._folder
        try:
            session = self._pace.read(
                corpus, path=path, namespace=self._namespace, progress=progress
            )
        except IncompatibleSessionError:
            assert path is not None
            remove_session(path)
            session = self._pace.read(
                corpus, path=path, namespace=self._namespace, progress=progress
            )
        self._take_session(session)

    def find_pages(self, query: str, count: int) -> list[Citation]:
        """Return the pages that fit a query best, the best first, each with its best words."""
        quotes = [(p, best_quote(p.page.text, query, query)) for p in self.passages]
        ranked = sorted(quotes, key=lambda pair: -pair[1].score)
        return [make_citation(*pair, "matched") for pair in ranked[:count] if pair[1].score > 0]

    async def ask(self, call: Call) -> Answer:
        """Answer a call; those that wait at the same time are answered together."""
        try:
            return await self._make_request(call).aask()
        except ContextOverflowError as error:
            return await self._make_request(_shorten_answer(call, error)).aask()

    async def start_stream(self, call: Call) -> AsyncRequestStream:
        """Answer a call piece by piece."""
        try:
            return await self._make_request(call).astream()
        except ContextOverflowError as error:
            return await self._make_request(_shorten_answer(call, error)).astream()

    def _take_session(self, session: Session) -> None:
        # Questions that are being answered go on with what they started from.
        self._session, self._prefixes = session, PrefixCache(session, _PROMPTS)

    def _make_request(self, call: Call) -> ChatRequest:
        return ChatRequest(
            session=self._session,
            messages=list(call.messages),
            settings=call.settings,
            format=call.format,
            prefixes=self._prefixes,
            batcher=self._batcher,
        )


def _shorten_answer(call: Call, error: ContextOverflowError) -> Call:
    """Return a call that allows as many tokens of an answer as there is room for.

    Clients ask for thousands of tokens by default; the prompt itself is never cut.

    Raises:
        ContextOverflowError: There is no room for an answer.
    """
    asked = call.settings.generation
    room = asked.max_new_tokens - (error.needed - error.limit)
    if room < _MIN_ROOM or asked.constraint is not None:
        raise error
    shorter = replace(asked, max_new_tokens=room)
    return replace(call, settings=replace(call.settings, generation=shorter))


def remove_documents(corpus: Corpus | None, gone: Mapping[str, object]) -> Corpus:
    """Return a corpus without the documents of some ids."""
    if corpus is None:
        raise DocumentError("the library is empty")
    kept = tuple(document for document in corpus.documents if document.id not in gone)
    return Corpus(kept, corpus.report)


def find_document(corpus: Corpus | None, document_id: str) -> Document | None:
    """Return a document by its id, or None."""
    documents = corpus.documents if corpus else ()
    return next((document for document in documents if document.id == document_id), None)
