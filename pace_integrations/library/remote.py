"""Documents, pages, selection and citations in front of a model that runs elsewhere."""

from __future__ import annotations

import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

from torch import Tensor

from pace_integrations.answer import Answer, Selection, Timings, Usage
from pace_integrations.config import GenerationConfig
from pace_integrations.documents import Corpus, Document
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.library.blocks import Block, SearchView, divide_document
from pace_integrations.library.changes import (
    Edit,
    LibraryChange,
    apply_edit,
    match_documents,
    put_documents,
    remove_documents,
)
from pace_integrations.library.choice import Budget, Choice, Selector
from pace_integrations.library.config import SelectorMaker
from pace_integrations.library.describe import cite_blocks, describe_blocks, find_evidence
from pace_integrations.library.endpoint import Chunk, Endpoint
from pace_integrations.library.passages import SIZE
from pace_integrations.library.place import find_place
from pace_integrations.library.selectors import KEYED, make_selector
from pace_integrations.model.prompts import INSTRUCTION, UNANSWERABLE, Message, passage_text
from pace_integrations.session.arguments import check_question
from pace_integrations.session.streams import require_answer

_LETTERS = 3.5  # characters of a token, about: the tokenizer is elsewhere
_SHARE = 2  # of the context that passages may take: one token in so many
_MOST = 4000  # tokens of passages where nothing is asked for: they are sent with each question
Finish = Callable[[str, Usage, Timings, Any], Answer]


class RemotePace:
    """A model behind an OpenAI endpoint. Made by `Pace.remote`.

    It reads nothing ahead: the pages that fit a question are sent with it.

    Attributes:
        name: The model's name.
        context_window: Most tokens of pages, question and answer together.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.name = endpoint.model
        self.context_window = endpoint.context_window

    def library(
        self,
        folder: str | os.PathLike[str],
        *,
        selector: str | SelectorMaker = "bm25",
        passage: int | None = SIZE,
    ) -> RemoteLibrary:
        """Open a library, or begin one; one that a local model has made serves too.

        Args:
            folder: Its folder, or an address that several machines reach.
            selector: What chooses passages: ``"bm25"`` or a function that makes a `Selector`.
            passage: About how many characters a passage has; a library keeps what it was made with.

        Raises:
            LibraryFileError: The folder holds something else, or a damaged library.
            ConfigError: The selector needs the model's keys, which are elsewhere.
        """
        return RemoteLibrary(self._endpoint, folder, selector, passage)

    def read(self, corpus: Corpus) -> RemoteLibrary:
        """Take a corpus to be asked; it lasts as long as the library that is returned."""
        folder = Path(mkdtemp(prefix="pace-"))
        made = self.library(folder / "library")
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        made.add(corpus)
        return made


class RemoteLibrary:
    """Documents on this machine, asked of a model elsewhere. Made by `RemotePace`.

    Args:
        endpoint: The model.
        place: Where the library lies.
        selector: What chooses passages.
        passage: About how many characters a passage has.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        place: str | os.PathLike[str],
        selector: str | SelectorMaker,
        passage: int | None,
    ) -> None:
        if selector in KEYED:
            raise ConfigError(f"selector={selector!r} needs a model in this process; take 'bm25'")
        self._endpoint = endpoint
        self._selector = selector
        self._catalog = find_place(place).open_catalog({"passage": passage})
        self._searched: tuple[str, Selector] | None = None
        self._lock = threading.Lock()

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, in the order they came."""
        return tuple(item.document for item in self._catalog.load().held)

    def add(self, corpus: Corpus) -> LibraryChange:
        """Add documents; those that are there already are skipped."""
        return self._apply(lambda listing: put_documents(listing, corpus, replace=False))

    def replace(self, corpus: Corpus) -> LibraryChange:
        """Put documents in the place of older versions, found by source, or else by title."""
        return self._apply(lambda listing: put_documents(listing, corpus, replace=True))

    def set_documents(self, corpus: Corpus) -> LibraryChange:
        """Hold the documents of a corpus and no others."""
        return self._apply(lambda listing: match_documents(listing, corpus))

    def remove(self, *names: str) -> LibraryChange:
        """Remove documents by id, title or source."""
        return self._apply(lambda listing: remove_documents(listing, names))

    def find_pages(self, question: str, *, count: int = 4) -> Choice:
        """Return the passages that fit a question best, without answering it."""
        return self._open_selector().select(question, Budget(2**31, count))

    def ask(self, question: str | Sequence[Message], **options: Any) -> Answer:  # noqa: ANN401
        """Answer a question from the pages that fit it best; see `stream` for the options."""
        with self.stream(question, **options) as stream:
            return stream.answer

    def stream(
        self,
        question: str | Sequence[Message],
        *,
        passages: int | None = None,
        budget: int | None = None,
        generation: GenerationConfig | None = None,
        timeout: float | None = None,
    ) -> RemoteStream:
        """Answer a question piece by piece.

        Args:
            question: The question, or a conversation that ends with one.
            passages: Most passages; None takes what the budget holds.
            budget: Most tokens of passages, counted by their characters; None is half of the
                context, and 4,000 at most.
            generation: Length, sampling and stop strings; the default is greedy.
            timeout: Seconds without a sign of the endpoint after which it is given up.

        Raises:
            QuestionError: The question is empty or malformed, or the endpoint refuses it.
            DocumentError: The library is empty.
            ModelLoadError: The endpoint lets nobody in without a key.
            DeadlineExceededError: The endpoint takes too long.
            PaceError: It fails, or breaks off.
        """
        check_question(question)
        turns = [{"role": "user", "content": question}] if isinstance(question, str) else question
        most = budget or min(_MOST, self._endpoint.context_window // _SHARE)
        words = turns[-1]["content"]
        selector = self._open_selector()
        chosen = selector.select(words, Budget(most, passages))
        blocks = sorted((s.block for s in chosen.scored), key=lambda b: (b.number, b.passage.start))
        if not blocks:
            raise DocumentError("no page of the library fits the question; add documents first")
        messages = [{"role": "system", "content": _write_pages(blocks)}]
        messages += [{"role": turn["role"], "content": turn["content"]} for turn in turns]

        def finish(text: str, usage: Usage, timings: Timings, why: Any) -> Answer:  # noqa: ANN401
            refuses = text.startswith(UNANSWERABLE)
            return Answer(
                text=text,
                citations=() if refuses else cite_blocks(text, words, blocks),
                usage=usage,
                timings=timings,
                memory=None,
                finish_reason=why,
                evidence=find_evidence(words, [scored.block for scored in chosen.scored]),
                selection=Selection(
                    selector=selector.name,
                    strategy="together",
                    reason=chosen.note or "pages are sent with the question",
                    budget=most,
                    pages=describe_blocks(chosen.scored, (), _count_tokens),
                    read=sum(map(_count_tokens, blocks)),
                ),
            )

        chunks = self._endpoint.stream(messages, generation or GenerationConfig(), timeout)
        return RemoteStream(chunks, sum(len(m["content"]) for m in messages), finish)

    def _apply(self, edit: Callable[..., Edit]) -> LibraryChange:
        return apply_edit(self._catalog, edit)[1].change

    def _open_selector(self) -> Selector:
        listing = self._catalog.load()
        with self._lock:
            if self._searched is None or self._searched[0] != listing.stamp:
                size = listing.settings.get("passage")
                blocks = [b for held in listing.held for b in divide_document(held, "", size)]
                view = SearchView(blocks, _count_tokens, lambda block: None, _refuse_keys)
                wanted = self._selector
                made = make_selector(wanted, view) if isinstance(wanted, str) else wanted(view)
                self._searched = listing.stamp, made
            return self._searched[1]


class RemoteStream(Iterator[str]):
    """Pieces of an answer's text, and the whole answer at the end. Made by `RemoteLibrary`.

    Args:
        chunks: What the endpoint writes; nothing is asked before the first piece is.
        sent: Characters of what is asked.
        finish: Makes the answer of its text, what it cost, and why it ends.
    """

    def __init__(self, chunks: Generator[Chunk], sent: int, finish: Finish) -> None:
        self._pieces = self._write(chunks, sent, finish)
        self._answer: Answer | None = None

    def _write(self, reply: Generator[Chunk], sent: int, finish: Finish) -> Generator[str]:
        start, first, text, why, told = time.perf_counter(), 0.0, "", "stop", None
        with closing(reply) as chunks:
            for chunk in chunks:
                why, told = chunk.finish or why, chunk.usage or told
                piece = chunk.text if text else chunk.text.lstrip()
                if piece:
                    first = first or time.perf_counter() - start
                    text += piece
                    yield piece
        took = time.perf_counter() - start
        usage = Usage(*(told or (int(sent / _LETTERS), 0, int(len(text) / _LETTERS))))
        self._answer = finish(text, usage, Timings(first or took, took), why)

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def answer(self) -> Answer:
        """The whole answer; what has not been streamed yet is waited for.

        Raises:
            PaceError: The stream was closed before its end.
        """
        for _ in self:
            pass
        return require_answer(self._answer)

    def close(self) -> None:
        """Close the connection, which ends the generation."""
        self._pieces.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write_pages(blocks: Sequence[Block]) -> str:
    pages = (passage_text(b.number, b.document.title, b.page.label, b.passage.text) for b in blocks)
    return INSTRUCTION + "".join(pages).strip()


def _count_tokens(block: Block) -> int:
    return int(len(block.passage.text) / _LETTERS) + 1


def _refuse_keys(question: str) -> Tensor:
    raise ConfigError("keys need a model in this process; take 'bm25'")
