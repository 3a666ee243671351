"""Whether the event loop goes on while something is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
            await asyncio.sleep(0)

    task = asyncio.create_task(tick())
    try:
        yield ticks
    finally:
        task.cancel()
