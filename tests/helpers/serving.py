"""A server in a thread of the test process, on a Unix socket: no network is needed."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

BASE = "http://localhost"
INVOICE = (
    "Invoice 4711\nSupplier: Marlow Ltd",
    "Total amount due: 381.50 EUR\nDue date: 3 May 2026",
)
GATE = b"The gate opens at 7:30 in the morning."
LEASE = "Tenant: Ada Byron\nMonthly rent: 950 EUR"


class RunningServer:
    """A server that listens on a Unix socket."""

    def __init__(self, app: FastAPI, socket: str) -> None:
        self.app = app
        self.core = app.state.core
        self.socket = socket
        self.client = self.make_client()

    def make_client(self, **headers: str) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self.socket)
        return httpx.Client(base_url=BASE, transport=transport, headers=headers, timeout=60)

    def make_async_client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=self.socket)
        return httpx.AsyncClient(base_url=BASE, transport=transport, timeout=60)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def post_events(self, path: str, body: object) -> list[dict[str, object] | str]:
        """The data of every event of a stream."""
        with self.client.stream("POST", path, json=body) as reply:
            assert reply.status_code == 200, reply.read()
            assert reply.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in reply.iter_lines() if line.startswith("data: ")]
        return [read_data(line) for line in lines]

    def wait_until_read(self) -> None:
        """Wait until no library reads."""
        for library in self.core.libraries.list_all():
            if library.job is not None:
                library.job.result(60)


def read_data(line: str) -> dict[str, object] | str:
    text = line.removeprefix("data: ")
    return text if text == "[DONE]" else json.loads(text)


@contextmanager
def serve(app: FastAPI) -> Iterator[RunningServer]:
    """Run an application until the block is left."""
    with tempfile.TemporaryDirectory(prefix="pace-") as folder:
        path = str(Path(folder, "s"))
        server = uvicorn.Server(uvicorn.Config(app, uds=path, log_level="warning", lifespan="on"))
        server.install_signal_handlers = lambda: None
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the server did not start"
        running = RunningServer(app, path)
        try:
            yield running
        finally:
            running.client.close()
            server.should_exit = True
            thread.join(10)
