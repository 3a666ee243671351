"""Calls that are announced before they come, so that they are waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


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


def note_arrival() -> ExpectedCalls | None:
    """Note that the current call has come; return the calls it was announced with."""
    expected, mark = _expected.get(), _arrived.get()
    if expected is not None:
        expected.count_arrival()
        if mark is not None:
            mark[0] = True
    return expected


def is_expecting_calls() -> bool:
    """Return whether this call is one of several that were announced."""
    return _expected.get() is not None
