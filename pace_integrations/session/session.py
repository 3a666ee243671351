"""A corpus that has been read: any number of questions can be asked of it."""

from __future__ import annotations

import os
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
from pace_integrations.session.store import write
from pace_integrations.session.streams import AnswerStream, AsyncAnswerStream, Finish

if TYPE_CHECKING:
    from pace_integrations.session.pace import Pace


class Session:
    """What a model has read, ready for questions. Made by `Pace.read` or `Pace.blank`.

    Asking leaves no trace: the cache is forked and the memory banks are read, not written, so
    any number of questions in any order, from any thread, get the answers they would get alone.

    Attributes:
        pace: The model that read it.
        corpus: What was read, or None for a blank session.
        passages: The pages under the numbers that answers cite.
        tokens: Tokens held; no question computes them again.
    """

    def __init__(
        self,
        pace: Pace,
        engine: Engine,
        context: Context,
        *,
        tokens: int = 0,
        corpus: Corpus | None = None,
        passages: Sequence[Passage] = (),
        config: ReadConfig | None = None,
    ) -> None:
        self.pace = pace
        self.corpus = corpus
        self.passages = tuple(passages)
        self.tokens = tokens
        self._engine = engine
        self._context = context
        self._chunk = (config or ReadConfig()).chunk

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
        work = self._engine.answer(ids, context, config, chunk=self._chunk)
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
        work = self._engine.answer(ids, context, config, chunk=self._chunk)
        return AsyncAnswerStream(self._engine.owner.astream(work), finish)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the read state to a folder, whole or not at all; `Pace.open` reads it back.

        A session that is there is replaced, and stays whole until the new one is complete.

        Args:
            path: The folder, by custom ``NAME.pace``.

        Raises:
            SessionFileError: The folder cannot be written, or holds something else.
            DocumentError: The session is blank: there is nothing to keep.
        """
        if self.corpus is None:
            raise DocumentError("a blank session has read nothing that could be saved")
        write(
            Path(path),
            fingerprint=self.pace.fingerprint,
            tokens=self.tokens,
            corpus=self.corpus,
            tensors=self._engine.tensors(self._context),
        )

    def _prepare(
        self, question: str | Sequence[Message], generation: GenerationConfig | None
    ) -> tuple[list[int], Context, GenerationConfig, Finish]:
        """Checks a question and makes what answering it needs."""
        config = generation or GenerationConfig()
        prompts = self._engine.prompts
        ids = prompts.tail(question) if self.corpus else prompts.chat(question)
        self._check_room(len(ids), config)
        context = self._context.fork()
        words = question if isinstance(question, str) else question[-1]["content"]
        finish = partial(self._finish, words, self.tokens + len(ids), context)
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
        self, question: str, prompt: int, context: Context, text: str, last: Piece, timings: Timings
    ) -> Answer:
        """The whole answer, from its text and its last piece."""
        assert last.finish is not None
        memory = context.memory
        return Answer(
            text=text,
            citations=cite(text, question, self.passages),
            usage=Usage(prompt, cached_tokens=self.tokens, output_tokens=last.tokens),
            timings=timings,
            memory=MemoryCounts(*memory.total_counts()) if memory is not None else None,
            finish_reason=last.finish,
        )
