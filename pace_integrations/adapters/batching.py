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
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pace_integrations.answer import Answer
from pace_integrations.errors import DeadlineExceededError, PaceError

if TYPE_CHECKING:
    from pace_integrations.adapters.chat_request import ChatRequest

# Seconds without a change after which calls that were announced are no longer waited for.
_PATIENCE = 0.5
_POLL = 0.01


class ExpectedCalls:
    """Calls that were announced and have neither come nor ended without asking.

    Args:
        count: How many there are.
        limit: Most of them that run at once.
    """

    def __init__(self, count: int, limit: int | None = None) -> None:
        self.limit = limit or count
        self.open = count
        self._lock = threading.Lock()

    def count_arrival(self) -> None:
        """Note that one has come, or has ended without asking."""
        with self._lock:
            self.open -= 1


_expected: ContextVar[ExpectedCalls | None] = ContextVar("expected_calls", default=None)
# Whether the current call has come; a list, so that tasks and threads below it share it.
_arrived: ContextVar[list[bool] | None] = ContextVar("arrived", default=None)


@contextmanager
def expect_calls(count: int, limit: int | None = None) -> Iterator[None]:
    """Announce that so many calls come at once, so that they are waited for."""
    token = _expected.set(ExpectedCalls(count, limit) if count > 1 else None)
    try:
        yield
    finally:
        _expected.reset(token)


@contextmanager
def expected_call() -> Iterator[None]:
    """Surround one of the calls that were announced: nobody waits for it after its end."""
    expected = _expected.get()
    mark = [False]
    token = _arrived.set(mark)
    try:
        yield
    finally:
        _arrived.reset(token)
        if expected is not None and not mark[0]:
            expected.count_arrival()


def is_expecting_calls() -> bool:
    """Return whether this call is one of several that were announced."""
    return _expected.get() is not None


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

    A call that finds the model free is answered at once and alone, unless several were announced
    by `expect_calls`.

    Args:
        max_batch: Most calls of one batch; 1 answers each alone.
    """

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._busy: set[object] = set()
        self._waiting: defaultdict[object, list[_Waiter]] = defaultdict(list)
        self._changed = threading.Condition()

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
        if not is_expecting_calls() and self._occupy(request):
            try:
                return await request.aask_alone()
            finally:
                self._release(request)
        waiter = self._enqueue(request)
        try:
            async with asyncio.timeout(waiter.seconds_left()):
                return await asyncio.wrap_future(waiter.future)
        except TimeoutError as error:
            if isinstance(error, PaceError):
                raise
            raise _deadline_error(request) from None
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
        key, waiter = request.batch_key, _Waiter(request, _deadline_of(request))
        with self._changed:
            self._waiting[key].append(waiter)
            self._changed.notify_all()
            start = key not in self._busy
            self._busy.add(key)
        expected, mark = _expected.get(), _arrived.get()
        if expected is not None:
            expected.count_arrival()
            if mark is not None:
                mark[0] = True
        if start:
            self._start_worker(key, expected)
        return waiter

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
