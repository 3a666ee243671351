"""Who is answered now, who waits, and who is told to come back."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pace_integrations.server.errors import ApiError
from pace_integrations.server.settings import ServerSettings


class Admission:
    """A bounded queue before a bounded number of slots; first come, first served.

    All of it runs on the event loop.

    Attributes:
        running: Requests that have a slot.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._slots = settings.slots
        self._max_waiting = settings.queue_length
        self._max_per_key = settings.max_per_key
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._by_key: Counter[str] = Counter()
        self._seconds = 1.0  # a moving average of what a request takes
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def take_slot(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it.

        Raises:
            ApiError: The queue is full (503), or this key has too many requests (429).
        """
        if self._max_per_key is not None and self._by_key[namespace] >= self._max_per_key:
            raise ApiError(
                429,
                f"this key has {self._max_per_key} requests under way, which is its limit",
                kind="rate_limit_error",
                code="rate_limit_exceeded",
                headers=self._retry_header(),
            )
        if self.running >= self._slots and self.waiting >= self._max_waiting:
            raise ApiError(
                503,
                f"{self.running} requests are being answered and {self.waiting} wait, which is "
                "the limit; try again later",
                kind="server_error",
                code="queue_full",
                headers=self._retry_header(),
            )
        self._by_key[namespace] += 1
        try:
            await self._wait_for_slot()
            start = time.monotonic()
            try:
                yield
            finally:
                self._seconds += 0.1 * (time.monotonic() - start - self._seconds)
                self._release_slot()
        finally:
            self._by_key[namespace] -= 1
            self._by_key += Counter()  # forgets those without any

    async def _wait_for_slot(self) -> None:
        if self.running < self._slots:
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # the request that leaves hands its slot over
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release_slot()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _release_slot(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _retry_header(self) -> dict[str, str]:
        rounds = (self.waiting + 1) / self._slots
        return {"retry-after": str(max(1, math.ceil(rounds * self._seconds)))}
