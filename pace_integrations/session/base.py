"""Asking what has been read: one question or many, whole or as a stream, in threads or loops."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pace_integrations.answer import Answer, MemoryCounts, Timings, Usage
from pace_integrations.config import GenerationConfig, ReadConfig
from pace_integrations.documents import Corpus
from pace_integrations.errors import ContextOverflowError, PaceError
from pace_integrations.model.deadlines import Deadline
from pace_integrations.model.decode import TextDelta
from pace_integrations.model.engine import Context, Engine
from pace_integrations.model.prompts import Message
from pace_integrations.session.arguments import check_question
from pace_integrations.session.citations import Passage, find_evidence, resolve_citations
from pace_integrations.session.state import ReadState, get_memory, number_passages
from pace_integrations.session.streams import AnswerStream, AsyncAnswerStream

if TYPE_CHECKING:
    from pace_integrations.session.pace import Pace

Question = str | Sequence[Message]


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """A question on its way to an answer.

    Attributes:
        messages: The question, or the conversation that ends with it.
        ids: Tokens to feed.
        context: A fork of what was read, and of turns before; the answer is written into it.
        held: Tokens the context holds.
        state: What was read.
        generation: How the answer is written.
        done: Called with the whole answer.
    """

    messages: Question
    ids: Sequence[int]
    context: Context
    held: int
    state: ReadState
    generation: GenerationConfig
    done: Callable[[Answer], None] = lambda _: None

    def finish(self, text: str, last: TextDelta, timings: Timings) -> Answer:
        """Return the whole answer, from its text and its last piece."""
        assert last.finish is not None
        question = self.messages
        words = question if isinstance(question, str) else _last_question(question)
        memory = get_memory(self.context)
        passages = number_passages(self.state.corpus)
        answer = Answer(
            text=text,
            citations=resolve_citations(text, words, passages),
            usage=Usage(self.held + len(self.ids), self.held, last.tokens),
            timings=timings,
            memory=MemoryCounts(*memory.total_counts()) if memory is not None else None,
            finish_reason=last.finish,
            evidence=find_evidence(words, passages),
        )
        self.done(answer)
        return answer


class SessionBase(ABC):
    """Whatever can be asked about a corpus that a model has read.

    Attributes:
        pace: The model that read it.
    """

    def __init__(self, pace: Pace, engine: Engine, state: ReadState, config: ReadConfig) -> None:
        self.pace = pace
        self._engine = engine
        self._state = state
        self._config = config

    def __reduce__(self) -> NoReturn:
        raise PaceError(
            "a session holds the cache of a loaded model and cannot be pickled or copied; save it "
            "with session.save(path), and open it elsewhere with Pace.load(...).open(path)"
        )

    @property
    def corpus(self) -> Corpus | None:
        """Corpus that was read, or None for a blank session."""
        return self._state.corpus

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The pages under the numbers that answers cite."""
        return number_passages(self._state.corpus)

    @property
    def tokens(self) -> int:
        """Tokens of the corpus; no question computes them again."""
        return self._state.tokens

    def ask(
        self,
        question: Question,
        *,
        generation: GenerationConfig | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Answers a question.

        Args:
            question: The question, or a conversation that ends with one.
            generation: Length, sampling and stop strings; the default is greedy.
            timeout: Seconds the whole answer may take; None waits for as long as it takes.

        Raises:
            QuestionError: The question is empty or the conversation malformed.
            ContextOverflowError: Corpus, question and answer exceed the model's context.
            DeadlineExceededError: The time is over; the generation stops within one token.
        """
        with self.stream(question, generation=generation, timeout=timeout) as stream:
            return stream.answer

    def stream(
        self,
        question: Question,
        *,
        generation: GenerationConfig | None = None,
        timeout: float | None = None,
    ) -> AnswerStream:
        """Answers a question piece by piece; see `ask`."""
        turn = self._prepare_answer(question, generation)
        return AnswerStream(
            self._engine.thread.stream(self._generate_pieces(turn), Deadline(timeout)), turn.finish
        )

    async def aask(
        self,
        question: Question,
        *,
        generation: GenerationConfig | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Answers a question without blocking the event loop; see `ask`."""
        stream = await self.start_stream(question, generation=generation, timeout=timeout)
        async with stream:
            return await stream.drain()

    async def start_stream(
        self,
        question: Question,
        *,
        generation: GenerationConfig | None = None,
        timeout: float | None = None,
    ) -> AsyncAnswerStream:
        """Return `astream` with the question tokenized off the event loop; see `ask`."""
        turn = await asyncio.to_thread(self._prepare_answer, question, generation)
        return AsyncAnswerStream(
            self._engine.thread.astream(self._generate_pieces(turn), Deadline(timeout)), turn.finish
        )

    def astream(
        self,
        question: Question,
        *,
        generation: GenerationConfig | None = None,
        timeout: float | None = None,
    ) -> AsyncAnswerStream:
        """Answers a question piece by piece without blocking the event loop; see `ask`."""
        turn = self._prepare_answer(question, generation)
        return AsyncAnswerStream(
            self._engine.thread.astream(self._generate_pieces(turn), Deadline(timeout)), turn.finish
        )

    @abstractmethod
    def _prepare_answer(
        self, question: Question, generation: GenerationConfig | None
    ) -> PendingAnswer:
        """Check a question and makes what answering it needs."""

    def _encode_question(self, question: Question) -> list[int]:
        check_question(question)
        prompts = self._engine.prompts
        return (
            prompts.encode_suffix(question) if self._state.corpus else prompts.encode_chat(question)
        )

    def _generate_pieces(self, turn: PendingAnswer) -> Iterator[TextDelta]:
        return self._engine.decode_answer(
            turn.ids, turn.context, turn.generation, chunk=self._config.chunk
        )

    def _check_room(self, tail: int, config: GenerationConfig) -> None:
        window = self._engine.window
        held = window.sinks if window else self.tokens
        needed, limit = held + tail + config.max_new_tokens, self.pace.context_window
        if needed > limit:
            raise ContextOverflowError(
                f"{held} tokens held + {tail} of the question + max_new_tokens "
                f"{config.max_new_tokens} = {needed}, more than the {limit} of {self.pace.name!r}; "
                "ask something shorter, lower max_new_tokens, read fewer documents, load a model "
                "with a longer context, or this one with overflow='yarn' or 'window'",
                needed=needed,
                limit=limit,
            )


def _last_question(messages: Sequence[Message]) -> str:
    """Return what the user said last: an answer that was begun may follow it."""
    asked = (m["content"] for m in reversed(messages) if m["role"] == "user")
    return next(asked, messages[-1]["content"])
