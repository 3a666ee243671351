"""Whether the event loop goes on while something is awaited, or read first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pace_integrations import Pace, Session


class Ticks:
    """Turns that another task of the loop got so far."""

    count = 0


@asynccontextmanager
async def ticking() -> AsyncIterator[Ticks]:
    """Counts the turns that another task gets meanwhile."""
    ticks = Ticks()

    async def tick() -> None:
        while True:
            ticks.count += 1
            await asyncio.sleep(0.0005)  # without a pause it would take turns from the model

    task = asyncio.create_task(tick())
    try:
        yield ticks
    finally:
        task.cancel()


def watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that corpora are read from, from now on."""
    threads: list[threading.Thread] = []
    read = Pace.read

    def watched(self: Pace, *args: Any, **kwargs: Any) -> Session:
        threads.append(threading.current_thread())
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Pace, "read", watched)
    return threads
