"""Server-sent events, and work that ends when the client is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pace_integrations.server.bodies import dump_json
from pace_integrations.server.errors import ApiError, to_api_error

T = TypeVar("T")
PING = b": ping\n\n"
_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # proxies hold nothing back
}
_log = logging.getLogger(__name__)


class ClientGoneError(Exception):
    """The client closed its connection before the reply was complete."""


def write_event(data: dict[str, Any] | str, event: str | None = None) -> bytes:
    """Return one server-sent event."""
    text = data.encode() if isinstance(data, str) else dump_json(data)
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + text + b"\n\n"


async def run_until_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` gives; it is cancelled when the client is gone.

    Args:
        request: The request; its body has been read.
        work: What to run.

    Raises:
        ClientGoneError: The client is gone.
    """
    job = asyncio.ensure_future(work)
    gone = asyncio.create_task(_wait_until_gone(request.receive))
    try:
        await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise ClientGoneError
        return job.result()
    finally:
        await _cancel(job, gone)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class EventStream(Response):
    """A reply of server-sent events, with comments while nothing happens.

    Made by `open`. The source is closed when the client is gone, also while it is waited for.

    Args:
        events: Where events come from.
        pending: The first event, being waited for.
        ping_seconds: Seconds without an event after which a comment is sent.
        fail: Writes an error that comes after the stream has begun.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        pending: asyncio.Future[bytes],
        ping_seconds: float,
        fail: Callable[[ApiError], bytes],
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._pending = pending
        self._ping_seconds = ping_seconds
        self._fail = fail

    @classmethod
    async def open(
        cls,
        request: Request,
        events: AsyncGenerator[bytes],
        ping_seconds: float,
        fail: Callable[[ApiError], bytes] = lambda error: write_event(error.to_body()),
    ) -> EventStream:
        """Return the reply once the first event is there, or has taken long enough for a comment.

        An error before that is raised here, so that it has its own status.
        """

        async def wait() -> asyncio.Future[bytes]:
            pending = asyncio.ensure_future(anext(events))
            try:
                await asyncio.wait({pending}, timeout=ping_seconds)
                if pending.done():
                    pending.result()
            except BaseException:
                await _cancel(pending)
                await events.aclose()
                raise
            return pending

        return cls(events, await run_until_gone(request, wait()), ping_seconds, fail)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until there are no more or the client is gone."""
        sending = asyncio.create_task(self._send_events(send))
        gone = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            await _cancel(sending, gone, self._pending)
            await self._events.aclose()

    async def _send_events(self, send: Send) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while True:
                await asyncio.wait({self._pending}, timeout=self._ping_seconds)
                if not self._pending.done():
                    await _send_part(send, PING)
                    continue
                await _send_part(send, self._pending.result())
                self._pending = asyncio.ensure_future(anext(self._events))
        except StopAsyncIteration:
            pass
        except Exception as error:
            known = to_api_error(error)
            if known.status == 500:
                _log.exception("a stream failed")
            await _send_part(send, self._fail(known))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_part(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
