"""One worker thread for all work of one loaded model, round-robin between its jobs.

A job is an iterator. The thread takes one step of each waiting job in turn, so that two streamed
answers advance together; a job that fails hands its exception to its consumer at once; one that
is closed stops before its next step.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, NoReturn, TypeVar

from pace_integrations.errors import PaceError
from pace_integrations.model.deadlines import NEVER, Deadline

T = TypeVar("T")
_END = StopIteration()  # travels to the consumer as the mark of a job's regular end


_NOT_COPIED = "an answer that is being written cannot be copied or pickled; send the whole answer"


class _Job(Generic[T]):
    """An iterator on the model's thread and where its items go.

    Attributes:
        closed: Whether it is to stop before its next step.
        ahead: Most items that wait for the consumer; the job rests meanwhile. None is any number.
        unread: Items that wait.
    """

    def __init__(
        self,
        work: Iterator[T],
        deliver: Callable[[T | BaseException], None],
        ahead: int | None = None,
    ) -> None:
        self._work = work
        self._deliver = deliver
        self.closed = False
        self.ahead = ahead
        self.unread = 0

    @property
    def rests(self) -> bool:
        """True while the consumer has more to take than it may."""
        return self.ahead is not None and self.unread >= self.ahead and not self.closed

    def run_step(self) -> bool:
        """Run one step; return False when there is no other."""
        try:
            if self.closed:
                _close_iterator(self._work)
                return False
            self._deliver(next(self._work))
            return True
        except StopIteration:
            self._send_last(_END)
        except BaseException as error:
            self._send_last(error)
        return False

    def abort_job(self, error: BaseException) -> None:
        """End the job from outside."""
        _close_iterator(self._work)
        self._send_last(error)

    def _send_last(self, last: BaseException) -> None:
        try:
            self._deliver(last)
        except RuntimeError:
            self.closed = True  # the consumer's event loop is gone: nobody is left to tell


class ModelThread:
    """Worker thread that runs all jobs of one model, round-robin.

    It starts with the first job and ends with `close`.

    Args:
        name: Shown in thread listings.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: deque[_Job[object]] = deque()
        self._resting: list[_Job[object]] = []
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._open = True
        self._process = os.getpid()

    def stream(
        self, work: Iterator[T], deadline: Deadline | None = None, *, ahead: int | None = None
    ) -> Stream[T]:
        """Run `work` on the thread; the result iterates over its items here.

        Args:
            work: What to run.
            deadline: When it is stopped and the consumer gets an error; None is never.
            ahead: Most items that the work may be ahead of the consumer; None is any number.
        """
        items: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        job = self._submit(work, items.put, ahead)
        return Stream(job, items, deadline or NEVER, self.note_taken)

    def note_taken(self, job: _Job[Any], items: int = 1) -> None:
        """Count items that a consumer has taken, and let its job go on."""
        if self._process != os.getpid():
            return  # see `close`
        with self._wake:
            job.unread -= items
            if job in self._resting and not job.rests:
                self._resting.remove(job)
                self._jobs.append(job)
                self._wake.notify()

    def astream(self, work: Iterator[T], deadline: Deadline | None = None) -> AsyncStream[T]:
        """Run `work` on the thread; the result iterates over its items in the running loop."""
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | BaseException] = asyncio.Queue()

        def deliver(item: T | BaseException) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        return AsyncStream(self._submit(work, deliver), items, deadline or NEVER)

    def close(self) -> None:
        """End the thread after the current step; jobs under way fail with `PaceError`."""
        if self._process != os.getpid():
            return  # a forked child has no thread to end, and the lock may never be released
        with self._wake:
            self._open = False
            self._wake.notify()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def _submit(
        self,
        work: Iterator[T],
        deliver: Callable[[T | BaseException], None],
        ahead: int | None = None,
    ) -> _Job[T]:
        _refuse_child(self._process)
        job = _Job(work, deliver, ahead)
        with self._wake:
            if not self._open:
                raise PaceError("this model was closed; load it again with Pace.load()")
            self._jobs.append(job)  # type: ignore[arg-type]
            self._wake.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run_jobs, name=self._name, daemon=True)
                self._thread.start()
        return job

    def _run_jobs(self) -> None:
        while (job := self._next()) is not None:
            if job.run_step():
                with self._wake:
                    job.unread += 1
                    (self._resting if job.rests else self._jobs).append(job)
        for job in (*self._jobs, *self._resting):
            job.abort_job(PaceError("the model was closed while this was running"))
        self._jobs.clear()
        self._resting.clear()

    def _next(self) -> _Job[object] | None:
        with self._wake:
            while self._open and not self._jobs:
                self._wake.wait()
            return self._jobs.popleft() if self._open else None


def _refuse_child(process: int) -> None:
    """Raise `PaceError` in a child of the process that a model's thread runs in."""
    if process != os.getpid():
        raise PaceError(
            "this model was loaded before the process was forked, and its thread stayed behind; "
            "load it with Pace.load() in the child, or start children with multiprocessing's "
            "'spawn'"
        )


class Stream(Iterator[T]):
    """Items of a job, waited for in the caller's thread."""

    def __init__(
        self,
        job: _Job[T],
        items: queue.SimpleQueue[T | BaseException],
        deadline: Deadline,
        note_taken: Callable[[_Job[T], int], None],
    ) -> None:
        self._job = job
        self._items = items
        self._deadline = deadline
        self._note_taken = note_taken
        self._ended = False
        self._process = os.getpid()

    def __reduce__(self) -> NoReturn:
        raise PaceError(_NOT_COPIED)

    def __next__(self) -> T:
        if self._ended:
            raise StopIteration
        _refuse_child(self._process)
        try:
            item = self._items.get(timeout=self._deadline.remaining_seconds())
        except queue.Empty:
            self.close()
            raise self._deadline.timeout_error() from None
        if isinstance(item, BaseException):
            self._ended = True
            raise StopIteration if item is _END else item
        if self._job.ahead is not None:
            self._note_taken(self._job, 1)
        return item

    def close(self) -> None:
        """Stop the work before its next step."""
        self._ended = self._job.closed = True
        if self._job.ahead is not None:
            self._note_taken(self._job, 0)  # one that rests wakes to end

    def __del__(self) -> None:
        self.close()


class AsyncStream(AsyncIterator[T]):
    """Items of a job, waited for without blocking the event loop."""

    def __init__(
        self, job: _Job[T], items: asyncio.Queue[T | BaseException], deadline: Deadline
    ) -> None:
        self._job = job
        self._items = items
        self._deadline = deadline
        self._ended = False
        self._process = os.getpid()

    def __reduce__(self) -> NoReturn:
        raise PaceError(_NOT_COPIED)

    async def __anext__(self) -> T:
        if self._ended:
            raise StopAsyncIteration
        _refuse_child(self._process)
        try:
            async with asyncio.timeout(self._deadline.remaining_seconds()):
                item = await self._items.get()
        except TimeoutError:
            self.close()
            raise self._deadline.timeout_error() from None
        except asyncio.CancelledError:
            self.close()
            raise
        if isinstance(item, BaseException):
            self._ended = True
            raise StopAsyncIteration if item is _END else item
        return item

    def close(self) -> None:
        """Stop the work before its next step."""
        self._ended = self._job.closed = True

    def __del__(self) -> None:
        self.close()


def _close_iterator(work: Iterator[object]) -> None:
    close = getattr(work, "close", None)
    if close is not None:
        close()
