"""Has files parsed by other processes, which may hang, crash or grow without harm."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pace_integrations.documents.formats.file_parsing import DAMAGED, PageCollector
from pace_integrations.documents.formats.page_assembly import from_record
from pace_integrations.documents.sandbox.request import Request
from pace_integrations.documents.sandbox.workers import Worker, return_worker, take_worker
from pace_integrations.documents.types import ParseResult

_GRACE = 1.0  # seconds that a process which lets go of its pipe has to end with its own status
_TOO_SLOW = "Print the file to a new PDF, or give it more seconds (--time-limit) if you trust it."

OnProgress = Callable[[int, int], None]


class CancelledError(Exception):
    """The reading was ended from outside."""


class RunningWorkers:
    """The workers at work, so that they can be ended from another thread."""

    def __init__(self) -> None:
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self.cancelled = False

    @contextmanager
    def track(self, worker: Worker) -> Iterator[None]:
        """Count a worker as busy.

        Raises:
            CancelledError: The reading was ended.
        """
        with self._lock:
            if self.cancelled:
                worker.close()
                raise CancelledError
            self._workers.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._workers.discard(worker)

    def cancel_all(self) -> None:
        """End all workers that are busy, and those to come."""
        with self._lock:
            self.cancelled = True
            for worker in self._workers:
                worker.kill()


@dataclass(slots=True)
class WorkerReply:
    """What a worker has told so far about one file.

    Attributes:
        parts: The pages that have come.
        started: Whether it has taken the request.
        end: Its last record, or None.
        timed_out: Whether it was ended because its time was up.
    """

    parts: PageCollector = field(default_factory=PageCollector)
    started: bool = False
    end: Mapping[str, Any] | None = None
    timed_out: bool = False

    def add(self, record: Mapping[str, Any], on_progress: OnProgress) -> None:
        """Take one record."""
        self.started = True
        if "at" in record:
            on_progress(*record["at"])
        elif "end" in record:
            self.end = record
        elif "start" not in record:
            self.parts.add(from_record(record))


def read_reply(
    worker: Worker, request: Request, running: RunningWorkers, on_progress: OnProgress
) -> WorkerReply:
    """Send a request and read the reply, or end the worker when its time is up.

    Raises:
        CancelledError: The reading was ended.
        ValueError: The worker wrote something that is no reply.
    """
    reply = WorkerReply()

    def stop() -> None:
        reply.timed_out = True
        worker.kill()

    timer = threading.Timer(request.limits.seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        with running.track(worker), suppress(OSError):
            worker.send(request)
            for record in worker.read_records():
                reply.add(record, on_progress)
    finally:
        timer.cancel()
    if running.cancelled:
        worker.close()
        raise CancelledError
    return reply


def run_request(
    request: Request, running: RunningWorkers, on_progress: OnProgress
) -> tuple[WorkerReply, str]:
    """Have a request served; returns the reply and how the worker ended, or ""."""
    worker = take_worker()
    try:
        reply = read_reply(worker, request, running, on_progress)
        if not reply.started and not reply.timed_out:  # it had died while it was idle
            worker.close()
            worker = Worker()
            reply = read_reply(worker, request, running, on_progress)
    except ValueError:  # no JSON: something else wrote into the pipe
        reply = WorkerReply()
    if reply.end is not None:
        return_worker(worker)
        return reply, ""
    status = worker.close(_GRACE)
    if reply.timed_out:
        return reply, f"the parser took longer than the limit of {request.limits.seconds:g} seconds"
    return reply, f"the parser crashed ({describe_exit(status)})"


def describe_exit(status: int) -> str:
    """Return how a process ended, by its exit status."""
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def parse_isolated(
    request: Request, running: RunningWorkers, on_progress: OnProgress
) -> tuple[ParseResult, str]:
    """Have a file parsed by another process. Never raises for what is in it.

    Where the parser hangs or crashes, the pages that had come before are kept.

    Args:
        request: The file and its limits.
        running: Ends the reading from another thread.
        on_progress: Called with the pages parsed and all pages, from this thread.

    Returns:
        The result with its pages, and the hash of the file's bytes.

    Raises:
        CancelledError: The reading was ended.
    """
    reply, death = run_request(request, running, on_progress)
    if not death and reply.end is not None:
        values = reply.end["end"]
        result = ParseResult(**{**values, "pages": (), "warnings": tuple(values["warnings"])})
        return reply.parts.finish(result), reply.end["sha256"]
    result = reply.parts.rescue("corrupt", death, _TOO_SLOW if reply.timed_out else DAMAGED)
    sha256 = ""
    if result.pages:
        with Path(request.path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return result, sha256


def mark_isolated(request: Request) -> tuple[list[list[list[float]]] | None, str]:
    """Have quotes found, and highlighted, by another process.

    Args:
        request: The file, the quotes and where to write the copy.

    Returns:
        For every quote its rectangles; or None and what went wrong.
    """
    reply, death = run_request(request, RunningWorkers(), lambda done, total: None)
    if death or reply.end is None:
        return None, death
    return reply.end["end"], reply.end.get("problem", "")
