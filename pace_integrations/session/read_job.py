"""Reads documents into a state, from the longest beginning that is known already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Self

from tqdm.auto import tqdm

from pace_integrations.config import ReadConfig
from pace_integrations.documents import Corpus
from pace_integrations.errors import ContextOverflowError, DocumentError
from pace_integrations.model.engine import Engine
from pace_integrations.session.state import (
    Checkpoint,
    ReadCost,
    ReadState,
    thin_checkpoints,
)

_SURELY_ENCODED = 1_000_000
"""Characters that are always tokenized, in about a second; longer texts are estimated first."""

_SAMPLE = 100_000
_SURELY_MORE = 2  # an estimate above so many contexts is refused

Progress = Callable[[int, int], None]
Keep = Callable[[ReadState], None]


class ReadJob:
    """A corpus on its way into a state.

    Args:
        engine: The model that reads.
        before: What has been read already; what its corpus and the new one begin with in common
            is not read again, as far as a checkpoint reaches.
        corpus: What is to be held in the end.
        config: How to read.

    Attributes:
        state: The state after the last document that was read to its end and kept. Also after an
            interruption it is whole.
        kept: Tokens that need not be read again.
        corpus: What is to be held, with the tokens of every document in its report.
        ids: Tokens to read.

    Raises:
        DocumentError: There is nothing in the corpus.
        ContextOverflowError: It does not fit the model's context.
    """

    def __init__(
        self, engine: Engine, before: ReadState, corpus: Corpus, config: ReadConfig
    ) -> None:
        if not corpus.documents:
            raise DocumentError("the corpus is empty; see its report for what became of each file")
        self._engine = engine
        self.corpus = corpus
        self._config = config
        start = before.longest_prefix(corpus.documents)
        self.kept = start.tokens if start else 0
        self._first = start.documents if start else 0
        self.state = before
        if start is None or start.tokens < before.tokens:
            known = before.checkpoints if start else ()
            self.state = ReadState(
                start.context if start else engine.new_context(),
                self.kept,
                self._corpus_prefix(self._first),
                tuple(c for c in known if c.documents < self._first),
                before.lease,
            )
        self._refuse_long_text()
        self.ids, self._starts = self._encode_documents()
        self.corpus = replace(corpus, report=corpus.report.with_tokens(self._count_tokens(before)))
        self._check_room()

    @property
    def read_cost(self) -> ReadCost:
        """Tokens to read and tokens kept."""
        return ReadCost(read=len(self.ids), kept=self.kept)

    def run(self, progress: bool | Progress = False, keep: Keep | None = None) -> ReadState:
        """Read on the model's thread, waiting here.

        Args:
            progress: True draws a bar; a function is called with tokens done and in all.
            keep: Called here with every new `state`, while the reading goes on.

        Returns:
            The state with the whole corpus.
        """
        with (
            # A step ahead at most: who interrupts `progress` stops the reading after that chunk.
            closing(self._engine.thread.stream(self.read_chunks(), ahead=1)) as steps,
            ProgressDisplay(progress) as show,
        ):
            seen = self.state
            for done in steps:
                show(done, len(self.ids))
                if keep and self.state is not seen:
                    keep(seen := self.state)
        # Also where nothing was left to read, the report is that of the corpus asked for.
        self.state = replace(self.state, corpus=self.corpus)
        return self.state

    def read_chunks(self) -> Iterator[int]:
        """Read, yielding how many tokens are done; `state` advances at document boundaries."""
        context, begin = self.state.context.fork(), 0
        self._engine.reserve(context, len(self.ids))
        for documents, end in self._stop_points():
            part = self.ids[begin:end]
            if part:  # a document may have no pages
                steps = self._engine.read(
                    part,
                    context,
                    cuts=self._starts,
                    chunk=self._config.chunk,
                    free=self._config.reserve,
                )
                for done in steps:
                    yield begin + done
            begin = end
            self._advance_state(Checkpoint(documents, self.kept + end, context.fork()))

    def _advance_state(self, reached: Checkpoint) -> None:
        old = self.state
        checkpoints = old.checkpoints
        if old.documents:
            last = Checkpoint(len(old.documents), old.tokens, old.context)
            checkpoints = thin_checkpoints((*checkpoints, last), self._config.checkpoints)
        corpus = self._corpus_prefix(reached.documents)
        self.state = ReadState(reached.context, reached.tokens, corpus, checkpoints, old.lease)

    def _corpus_prefix(self, documents: int) -> Corpus | None:
        if documents == len(self.corpus.documents):
            return self.corpus
        return Corpus(self.corpus.documents[:documents], self.corpus.report) if documents else None

    def _encode_documents(self) -> tuple[list[int], list[int]]:
        """Return the tokens to read, and the position at which each of their documents starts."""
        prompts, documents = self._engine.prompts, self.corpus.documents
        ids: list[int] = [] if self.kept else prompts.encode_prefix()
        starts: list[int] = []
        number = sum(len(document.pages) for document in documents[: self._first])
        for document in documents[self._first :]:
            starts.append(self.kept + len(ids))
            for page in document.pages:
                number += 1
                ids += prompts.encode_passage(number, document.title, page.label, page.text)
        return ids, starts

    def _count_tokens(self, before: ReadState) -> dict[str, int]:
        """Tokens of every document, by the path that its file has in the report."""
        known = before.corpus.report.files if before.corpus else ()
        counts = {file.path: file.tokens for file in known if file.tokens is not None}
        ends = [*self._starts, self.kept + len(self.ids)][1:]
        documents = self.corpus.documents[self._first :]
        for document, start, end in zip(documents, self._starts, ends, strict=True):
            counts[document.source or document.title] = end - start
        return counts

    def _stop_points(self) -> Iterator[tuple[int, int]]:
        """Documents and tokens at which the state is kept: ends of documents a chunk apart."""
        ends = [start - self.kept for start in (*self._starts, self.kept + len(self.ids))][1:]
        last = 0
        for documents, end in enumerate(ends, self._first + 1):
            if end - last >= self._config.chunk or documents == len(self.corpus.documents):
                yield documents, end
                last = end

    def _refuse_long_text(self) -> None:
        """Refuse what is far too long by the rate of a sample, before all of it is tokenized."""
        pages = [page for d in self.corpus.documents[self._first :] for page in d.pages]
        size = sum(len(page.text) for page in pages)
        if self._engine.window is not None or size <= _SURELY_ENCODED:
            return
        step = max(1, len(pages) // 50)
        sample = "\n".join(page.text[: _SAMPLE // 50] for page in pages[::step])[:_SAMPLE]
        sample = sample if len(sample) > _SAMPLE // 10 else pages[0].text[:_SAMPLE]
        rate = len(self._engine.prompts.encode_text(sample)) / max(1, len(sample))
        tokens = self.kept + int(rate * size)
        if tokens > _SURELY_MORE * self._engine.loaded.context_window:
            raise self._overflow(tokens, "about ")

    def _check_room(self) -> None:
        tokens = self.kept + len(self.ids)
        room = self._engine.loaded.context_window - self._config.reserve
        if self._engine.window is None and tokens > room:
            raise self._overflow(tokens)

    def _overflow(self, tokens: int, about: str = "") -> ContextOverflowError:
        limit = self._engine.loaded.context_window
        return ContextOverflowError(
            f"the corpus is {about}{tokens} tokens long and {self._config.reserve} are kept for "
            f"questions, but the context of {self._engine.loaded.name!r} holds {limit}; read "
            "fewer or shorter documents, load a model with a longer context, or this one with "
            "overflow='yarn' or 'window'",
            needed=tokens + self._config.reserve,
            limit=limit,
        )


class ProgressDisplay:
    """Shows progress as asked: not at all, by a bar, or through a function."""

    def __init__(self, progress: bool | Progress) -> None:
        self._call = progress if callable(progress) else None
        self._draw = progress is True
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show how many tokens of all are done."""
        if self._call:
            self._call(done, total)
        elif self._draw:
            self._bar = self._bar or tqdm(total=total, unit="token", desc="reading")
            self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
