"""A corpus that has been read: any number of questions can be asked of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pace_integrations.answer import Answer, MemoryCounts, Timings, Usage
from pace_integrations.config import GenerationConfig, ReadConfig
from pace_integrations.documents import Corpus
from pace_integrations.errors import ContextOverflowError, DocumentError
from pace_integrations.model.decode import Piece
from pace_integrations.model.engine import Context, Engine
from pace_integrations.model.prompts import Message
from pace_integrations.session.citations import Passage, cite
from pace_integrations.session.memory_plots import plot_memory
from pace_integrations.session.memory_report import MemoryReport, memory_report
from pace_integrations.session.reading import Progress, Reading
from pace_integrations.session.state import Change, ReadState, passages_of, renewed
from pace_integrations.session.store import write
from pace_integrations.session.streams import AnswerStream, AsyncAnswerStream, Finish

if TYPE_CHECKING:
    from pace_integrations.session.pace import Pace

_READ = ReadConfig()


class Session:
    """What a model has read, ready for questions. Made by `Pace.read` or `Pace.blank`.

    Asking leaves no trace: the cache is forked and the memory banks are read, not written, so
    any number of questions in any order, from any thread, get the answers they would get alone.

    Attributes:
        pace: The model that read it.
    """

    def __init__(
        self, pace: Pace, engine: Engine, state: ReadState, config: ReadConfig = _READ
    ) -> None:
        self.pace = pace
        self._engine = engine
        self._state = state
        self._config = config
        self._changing = threading.Lock()

    @property
    def corpus(self) -> Corpus | None:
        """What was read, or None for a blank session."""
        return self._state.corpus

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The pages under the numbers that answers cite."""
        return passages_of(self._state.corpus)

    @property
    def tokens(self) -> int:
        """Tokens held; no question computes them again."""
        return self._state.tokens

    def ask(
        self, question: str | Sequence[Message], *, generation: GenerationConfig | None = None
    ) -> Answer:
        """Answers a question.

        Args:
            question: The question, or a conversation that ends with one.
            generation: Length, sampling and stop strings; the default is greedy.

        Raises:
            QuestionError: The question is empty or the conversation malformed.
            ContextOverflowError: Corpus, question and answer exceed the model's context.
        """
        with self.stream(question, generation=generation) as stream:
            return stream.answer

    def stream(
        self, question: str | Sequence[Message], *, generation: GenerationConfig | None = None
    ) -> AnswerStream:
        """Answers a question piece by piece; see `ask`."""
        ids, context, config, finish = self._prepare(question, generation)
        work = self._engine.answer(ids, context, config, chunk=self._config.chunk)
        return AnswerStream(self._engine.owner.stream(work), finish)

    async def aask(
        self, question: str | Sequence[Message], *, generation: GenerationConfig | None = None
    ) -> Answer:
        """Answers a question without blocking the event loop; see `ask`."""
        async with self.astream(question, generation=generation) as stream:
            return await stream.drain()

    def astream(
        self, question: str | Sequence[Message], *, generation: GenerationConfig | None = None
    ) -> AsyncAnswerStream:
        """Answers a question piece by piece without blocking the event loop; see `ask`."""
        ids, context, config, finish = self._prepare(question, generation)
        work = self._engine.answer(ids, context, config, chunk=self._config.chunk)
        return AsyncAnswerStream(self._engine.owner.astream(work), finish)

    def add(self, corpus: Corpus, *, progress: bool | Progress = False) -> Change:
        """Reads more documents after those that are there; documents held already are passed over.

        Questions that are being answered go on with what they started from. If it fails or is
        interrupted, the session is as it was.

        Args:
            corpus: What to add.
            progress: As in `Pace.read`.

        Raises:
            ContextOverflowError: It does not fit beside what is there.
        """
        with self._changing:
            held = self._state.corpus
            return self._become(held + corpus if held else corpus, progress)

    def remove(self, *names: str, progress: bool | Progress = False) -> Change:
        """Forgets documents; those after the first of them are read again (see `cost_of_removing`).

        Args:
            names: Documents by id, title or source.
            progress: As in `Pace.read`.

        Raises:
            DocumentError: A name fits no document, or none would be left.
        """
        with self._changing:
            return self._become(self._without(names), progress)

    def cost_of_removing(self, *names: str) -> Change:
        """What `remove` would have to read again, without doing it."""
        return self._reading(self._without(names)).change

    def replace(self, corpus: Corpus, *, progress: bool | Progress = False) -> Change:
        """Puts documents in the place of those with the same source, or title where there is none.

        Documents that fit none that is there are added. Only what follows the first difference is
        read again.

        Args:
            corpus: New versions of documents.
            progress: As in `Pace.read`.

        Raises:
            ContextOverflowError: The result does not fit the model's context.
        """
        with self._changing:
            return self._become(renewed(self._state.corpus, corpus), progress)

    def memory_report(self) -> MemoryReport:
        """What the memory holds: hits by layer and step, slots, and the page each came from.

        Raises:
            ConfigError: The memory is off.
        """
        return self._memory_report(self._state)

    def plot_memory(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Draws the memory to ``activations.png`` and ``provenance.png`` in a folder.

        Raises:
            ConfigError: The memory is off.
            MissingExtraError: The ``eval`` extra is not installed.
        """
        state = self._state
        report = self._memory_report(state)
        assert state.context.memory is not None
        return plot_memory(state.context.memory, report, Path(folder))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the read state to a folder, whole or not at all; `Pace.open` reads it back.

        A session that is there is replaced, and stays whole until the new one is complete.

        Args:
            path: The folder, by custom ``NAME.pace``.

        Raises:
            SessionFileError: The folder cannot be written, or holds something else.
            DocumentError: The session is blank: there is nothing to keep.
        """
        state = self._state
        if state.corpus is None:
            raise DocumentError("a blank session has read nothing that could be saved")
        write(
            Path(path),
            fingerprint=self.pace.fingerprint,
            tokens=state.tokens,
            corpus=state.corpus,
            tensors=self._engine.tensors(state.context),
        )

    def _become(self, corpus: Corpus, progress: bool | Progress) -> Change:
        reading = self._reading(corpus)
        self._state = reading.run(progress)
        return reading.change

    def _reading(self, corpus: Corpus) -> Reading:
        return Reading(self._engine, self._state, corpus, self._config)

    def _without(self, names: Sequence[str]) -> Corpus:
        corpus = self._state.corpus or Corpus(())
        known = {x for d in corpus.documents for x in (d.id, d.title, d.source)}
        if unknown := [name for name in names if name not in known]:
            raise DocumentError(
                f"no document {unknown[0]!r} in this session; there are "
                f"{[d.title for d in corpus.documents]}"
            )
        gone = set(names)
        left = tuple(d for d in corpus.documents if not gone & {d.id, d.title, d.source})
        if not left:
            raise DocumentError("nothing would be left; start with Pace.read() and other documents")
        return Corpus(left, corpus.report)

    def _memory_report(self, state: ReadState) -> MemoryReport:
        return memory_report(self._engine, state.context.memory, passages_of(state.corpus))

    def _prepare(
        self, question: str | Sequence[Message], generation: GenerationConfig | None
    ) -> tuple[list[int], Context, GenerationConfig, Finish]:
        """Checks a question and makes what answering it needs."""
        config, state = generation or GenerationConfig(), self._state
        prompts = self._engine.prompts
        ids = prompts.tail(question) if state.corpus else prompts.chat(question)
        self._check_room(len(ids), config)
        context = state.context.fork()
        words = question if isinstance(question, str) else question[-1]["content"]
        finish = partial(_finish, words, len(ids), context, state)
        return ids, context, config, finish

    def _check_room(self, tail: int, config: GenerationConfig) -> None:
        needed = self.tokens + tail + config.max_new_tokens
        if needed > self.pace.context_window:
            raise ContextOverflowError(
                f"{self.tokens} tokens read + {tail} of the question + max_new_tokens "
                f"{config.max_new_tokens} = {needed}, more than the {self.pace.context_window} of "
                f"{self.pace.name!r}; ask something shorter, lower max_new_tokens, read fewer "
                "documents or load a model with a longer context",
                needed=needed,
                limit=self.pace.context_window,
            )


def _finish(
    question: str,
    tail: int,
    context: Context,
    state: ReadState,
    text: str,
    last: Piece,
    timings: Timings,
) -> Answer:
    """The whole answer, from its text and its last piece."""
    assert last.finish is not None
    memory = context.memory
    return Answer(
        text=text,
        citations=cite(text, question, passages_of(state.corpus)),
        usage=Usage(state.tokens + tail, cached_tokens=state.tokens, output_tokens=last.tokens),
        timings=timings,
        memory=MemoryCounts(*memory.total_counts()) if memory is not None else None,
        finish_reason=last.finish,
    )
