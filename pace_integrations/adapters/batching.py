"""Calls that wait for one model at the same time are answered together, by `Session.ask_many`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pace_integrations.adapters.expected_calls import (
    ExpectedCalls,
    is_expecting_calls,
    note_arrival,
)
from pace_integrations.answer import Answer
from pace_integrations.errors import DeadlineExceededError, PaceError

if TYPE_CHECKING:
    from pace_integrations.adapters.chat_request import ChatRequest

# Seconds without a change after which calls that were announced are no longer waited for.
_PATIENCE = 0.5
_POLL = 0.01
_TURNS = 2  # of the event loop, in which calls that were begun together come


@dataclass(eq=False)
class _Waiter:
    """A call that waits to be answered with others."""

    request: ChatRequest
    deadline: float | None
    future: Future[Answer] = field(default_factory=Future)
    gone: bool = False  # nobody waits any more; what is being written for it ends

    def seconds_left(self) -> float | None:
        """Return the seconds it may still take; None where there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


class AnswerBatcher:
    """Answers the calls of one session that wait at the same time, and are written alike, together.

    A call that finds the model free is answered at once and alone, unless others come in the same
    turns of the event loop, as with `asyncio.gather`, or were announced by `announce` or
    `expect_calls`.

    Args:
        max_batch: Most calls of one batch; 1 answers each alone.
    """

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._busy: set[object] = set()
        self._waiting: defaultdict[object, list[_Waiter]] = defaultdict(list)
        self._begun: dict[object, list[_Waiter]] = {}
        self._coming = 0
        self._changed = threading.Condition()

    @contextmanager
    def announce(self) -> Iterator[None]:
        """Announce a call that comes when the context ends: those that are there wait for it."""
        with self._changed:
            self._coming += 1
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1

    def ask(self, request: ChatRequest) -> Answer:
        """Answer a call that was announced with others."""
        if self._max_batch < 2:
            return request.ask_alone()
        waiter = self._enqueue(request)
        try:
            return waiter.future.result(waiter.seconds_left())
        except FutureTimeoutError as error:
            if isinstance(error, PaceError):
                raise
            waiter.future.cancel()
            waiter.gone = True
            raise _deadline_error(request) from None

    async def aask(self, request: ChatRequest) -> Answer:
        """Answer a call; see the class."""
        if self._max_batch < 2:
            return await request.aask_alone()
        if is_expecting_calls():
            return await self._await_answer(self._enqueue(request))
        waiter = _Waiter(request, _deadline_of(request))
        begun = await self._await_siblings(waiter)
        if begun == [waiter] and self._occupy(request):
            try:
                return await request.aask_alone()
            finally:
                self._release(request)
        if begun:
            self._enqueue_all(begun)
        return await self._await_answer(waiter)

    async def _await_siblings(self, waiter: _Waiter) -> list[_Waiter]:
        """Return the calls that began together with a call; nothing if another one returns them."""
        key = asyncio.get_running_loop(), waiter.request.batch_key
        begun = self._begun.setdefault(key, [])
        begun.append(waiter)
        if len(begun) > 1:
            return []
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            limit = time.monotonic() + _PATIENCE
            while self._coming and time.monotonic() < limit:
                await asyncio.sleep(_POLL / 10)
        except BaseException:  # canceled: the others still wait
            begun.remove(waiter)
            self._enqueue_all(self._begun.pop(key))
            raise
        return self._begun.pop(key)

    async def _await_answer(self, waiter: _Waiter) -> Answer:
        try:
            async with asyncio.timeout(waiter.seconds_left()):
                return await asyncio.wrap_future(waiter.future)
        except TimeoutError as error:
            if isinstance(error, PaceError):
                raise
            raise _deadline_error(waiter.request) from None
        finally:
            waiter.gone = True

    def _occupy(self, request: ChatRequest) -> bool:
        with self._changed:
            if request.batch_key in self._busy:
                return False
            self._busy.add(request.batch_key)
            return True

    def _release(self, request: ChatRequest) -> None:
        key = request.batch_key
        with self._changed:
            if not self._waiting[key]:
                self._busy.discard(key)
                return
        self._start_worker(key, None)

    def _enqueue(self, request: ChatRequest) -> _Waiter:
        waiter = _Waiter(request, _deadline_of(request))
        self._enqueue_all([waiter])
        return waiter

    def _enqueue_all(self, waiters: list[_Waiter]) -> None:
        """Let calls of one kind wait, and see that somebody answers them."""
        if not waiters:
            return
        key = waiters[0].request.batch_key
        with self._changed:
            self._waiting[key] += waiters
            self._changed.notify_all()
            start = key not in self._busy
            self._busy.add(key)
        expected = note_arrival()
        if start:
            self._start_worker(key, expected)

    def _start_worker(self, key: object, expected: ExpectedCalls | None) -> None:
        args = (key, expected)
        threading.Thread(target=self._work, args=args, name="pace-batch", daemon=True).start()

    def _work(self, key: object, expected: ExpectedCalls | None) -> None:
        """Answer batch after batch until nobody waits."""
        try:
            while group := self._take_group(key, expected):
                _answer_group(group, self._max_batch)
        except BaseException as error:  # nobody may be left to wait
            with self._changed:
                left = self._waiting.pop(key, [])
                self._busy.discard(key)
            for waiter in left:
                waiter.future.set_exception(error)
            raise

    def _take_group(self, key: object, expected: ExpectedCalls | None) -> list[_Waiter]:
        with self._changed:
            if expected is not None:
                self._await_calls(self._waiting[key], expected)
            waiting = self._waiting.pop(key, [])
            group, rest = waiting[: self._max_batch], waiting[self._max_batch :]
            if rest:
                self._waiting[key] = rest
            if not group:
                self._busy.discard(key)
            return group

    def _await_calls(self, waiting: list[_Waiter], expected: ExpectedCalls) -> None:
        """Wait until all that can come have come; the lock is held, and released meanwhile."""
        wanted = min(expected.limit, self._max_batch)
        seen, since = (len(waiting), expected.open), time.monotonic()
        while 0 < len(waiting) < wanted and expected.open > 0:
            self._changed.wait(_POLL)
            now = (len(waiting), expected.open)
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                return


def answer_together(requests: Sequence[ChatRequest], max_batch: int) -> list[Future[Answer]]:
    """Answer calls that are written alike in one batch; each future has an answer or an error."""
    waiters = [_Waiter(request, _deadline_of(request)) for request in requests]
    for start in range(0, len(waiters), max_batch):
        _answer_group(waiters[start : start + max_batch], max_batch)
    return [waiter.future for waiter in waiters]


def _answer_group(group: list[_Waiter], max_batch: int) -> None:
    """Answer calls together; where that fails, one by one, so that each gets its own error."""
    group = [waiter for waiter in group if waiter.future.set_running_or_notify_cancel()]
    if len(group) > 1:
        limits = [left for waiter in group if (left := waiter.seconds_left()) is not None]
        first = group[0].request
        try:
            answers = first.session.ask_many(
                [waiter.request.messages for waiter in group],
                generation=first.settings.generation,
                batch=max_batch,
                timeout=min(limits) if limits else None,
                is_wanted=lambda i: not group[i].gone,
            )
        except DeadlineExceededError as error:
            for waiter in group:
                waiter.future.set_exception(error)
            return
        except Exception:
            pass
        else:
            for waiter, answer in zip(group, answers, strict=True):
                waiter.future.set_result(answer)
            return
    for waiter in group:
        try:
            waiter.future.set_result(waiter.request.ask_alone(lambda w=waiter: not w.gone))  # type: ignore[misc]
        except BaseException as error:
            waiter.future.set_exception(error)


def _deadline_of(request: ChatRequest) -> float | None:
    limit = request.settings.timeout
    return None if limit is None else time.monotonic() + limit


def _deadline_error(request: ChatRequest) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"the answer was not complete within {request.settings.timeout} s; raise timeout, lower "
        "max_tokens or ask fewer questions at once"
    )
