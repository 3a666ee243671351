"""Answers as they are written, for threads and for event loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

from pace_integrations.answer import Answer, Timings
from pace_integrations.errors import PaceError
from pace_integrations.model.decode import TextDelta
from pace_integrations.model.model_thread import AsyncStream, Stream

Finish = Callable[[str, TextDelta, Timings], Answer]


class AnswerBuilder:
    """Collects pieces into an answer."""

    def __init__(self, finish: Finish) -> None:
        self._finish = finish
        self._start = time.perf_counter()
        self._first: float | None = None
        self._texts: list[str] = []
        self.answer: Answer | None = None

    def add(self, piece: TextDelta) -> str:
        """Take a piece in; gives what there is to show of it."""
        now = time.perf_counter() - self._start
        if piece.tokens and self._first is None:
            self._first = now
        # Many models write a space first, as if the answer continued a line.
        text = piece.text if any(self._texts) else piece.text.lstrip()
        self._texts.append(text)
        if piece.finish:
            timings = Timings(first_token=self._first or now, total=now)
            self.answer = self._finish("".join(self._texts), piece, timings)
        return text


def require_answer(answer: Answer | None) -> Answer:
    """Return an answer that must be there.

    Raises:
        PaceError: It was not written to its end.
    """
    if answer is None:
        raise PaceError("the stream was closed before the answer was complete; ask again")
    return answer


class AnswerStream(Iterator[str]):
    """Pieces of an answer's text, and the whole answer at the end.

    Joined, the pieces are ``answer.text``, which never starts with white space. Closing the stream
    (or leaving its ``with`` block) stops the generation within one token. An exception in the
    generation is raised here.
    """

    def __init__(self, pieces: Stream[TextDelta], finish: Finish) -> None:
        self._pieces = pieces
        self._writing = AnswerBuilder(finish)

    def __next__(self) -> str:
        while True:
            if text := self._writing.add(next(self._pieces)):
                return text

    @property
    def answer(self) -> Answer:
        """The whole answer; what has not been streamed yet is waited for.

        Raises:
            PaceError: The stream was closed before its end.
        """
        for _ in self:
            pass
        return require_answer(self._writing.answer)

    def close(self) -> None:
        """Stop the generation."""
        self._pieces.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncAnswerStream(AsyncIterator[str]):
    """`AnswerStream` for event loops: waiting never blocks the loop."""

    def __init__(self, pieces: AsyncStream[TextDelta], finish: Finish) -> None:
        self._pieces = pieces
        self._writing = AnswerBuilder(finish)

    async def __anext__(self) -> str:
        while True:
            piece = await anext(self._pieces)
            if piece.finish:  # finding what it cites takes long enough to hold a loop up
                text = await asyncio.to_thread(self._writing.add, piece)
            else:
                text = self._writing.add(piece)
            if text:
                return text

    @property
    def answer(self) -> Answer:
        """The whole answer, once the stream has ended.

        Raises:
            PaceError: The stream has not ended, or was closed before its end.
        """
        return require_answer(self._writing.answer)

    async def drain(self) -> Answer:
        """Wait for the end and returns the whole answer."""
        async for _ in self:
            pass
        return self.answer

    async def aclose(self) -> None:
        """Stop the generation."""
        self._pieces.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
