"""Has files parsed by other processes, which may hang, crash or grow without harm."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pace_integrations.documents.sandbox.child import Request, page_of, reading_of
from pace_integrations.documents.sandbox.workers import Worker, return_worker, take_worker
from pace_integrations.documents.types import Page, ParseResult, Status

_GRACE = 1.0  # seconds that a process which lets go of its pipe has to end with its own status
# Of a file's seconds: for parsing, and for what a parser leaves behind that had to be ended.
_PARSING, _RESCUE = 0.75, 0.15
_SHORTEST = 2.0  # seconds for the latter, at least
_DAMAGED = "The file is damaged; open it in its own program, save it anew and read that."
_TOO_SLOW = "Print the file to a new PDF, or give it more seconds (--time-limit) if you trust it."


class Cancelled(Exception):  # noqa: N818 - nothing went wrong
    """The reading was ended from outside."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file in another process.

    Attributes:
        reading: Its status and the rest.
        sha256: Hash of its bytes, or "".
        pages: Its pages.
    """

    reading: ParseResult
    sha256: str
    pages: tuple[Page, ...]


class Running:
    """The workers at work, so that they can be ended from another thread."""

    def __init__(self) -> None:
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self.cancelled = False

    @contextmanager
    def using(self, worker: Worker) -> Iterator[None]:
        """Counts a worker as busy.

        Raises:
            Cancelled: The reading was ended.
        """
        with self._lock:
            if self.cancelled:
                worker.close()
                raise Cancelled
            self._workers.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._workers.discard(worker)

    def cancel(self) -> None:
        """Ends all workers that are busy, and those to come."""
        with self._lock:
            self.cancelled = True
            for worker in self._workers:
                worker.kill()


@dataclass(slots=True)
class WorkerReply:
    """What a worker has told so far about one file."""

    pages: list[Page]
    started: bool = False
    at: int = 0
    total: int = 0
    end: Mapping[str, Any] | None = None
    sha256: str = ""
    late: bool = False


def _seconds(request: Request) -> float:
    """Parsing has most of a file's time, and what it leaves behind where it was ended the rest."""
    whole = request.limits.seconds
    return max(_SHORTEST, _RESCUE * whole) if request.finish else _PARSING * whole


def read_reply(worker: Worker, request: Request, running: Running, at: At) -> WorkerReply:
    """Has one request served, or ends the worker when its time is up."""
    talk = WorkerReply([])

    def stop() -> None:
        talk.late = True
        worker.kill()

    timer = threading.Timer(_seconds(request), stop)
    timer.daemon = True
    timer.start()
    try:
        with running.using(worker), suppress(OSError):
            worker.send(request)
            for record in worker.records():
                _store_record(talk, record, at)
    finally:
        timer.cancel()
    if running.cancelled:
        worker.close()
        raise Cancelled
    return talk


At = Callable[[int, int], None]


def _store_record(talk: WorkerReply, record: Mapping[str, Any], at: At) -> None:
    talk.started = True
    if "page" in record:
        talk.pages.append(page_of(record["page"]))
    elif "at" in record:
        talk.at, talk.total = record["at"]
        at(talk.at, talk.total)
    elif "end" in record:
        talk.end, talk.sha256 = record, record["sha256"]


def run_request(request: Request, running: Running, at: At) -> tuple[WorkerReply, str]:
    """Has a request served; returns what was told and how the worker ended, or ""."""
    worker = take_worker()
    try:
        talk = read_reply(worker, request, running, at)
        if not talk.started and not talk.late:  # it had died while it was idle
            worker.close()
            worker = Worker()
            talk = read_reply(worker, request, running, at)
    except ValueError:  # no JSON: something else wrote into the pipe
        talk = WorkerReply([])
    if talk.end is not None:
        return_worker(worker)
        return talk, ""
    status = worker.close(_GRACE)
    if talk.late:
        return talk, f"the parser took longer than the limit of {request.limits.seconds:g} seconds"
    return talk, f"the parser crashed ({exit_reason(status)})"


def exit_reason(status: int) -> str:
    """Return how a process ended, by its exit status."""
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def read_isolated(request: Request, running: Running, at: At) -> Outcome:
    """Has a file parsed by another process. Never raises for what is in it.

    Where the parser hangs or crashes, the pages that it had parsed before are kept.

    Args:
        request: The file and its limits; the journal is chosen here.
        running: Ends the reading from another thread.
        at: Called with the pages parsed and all pages, from this thread.

    Raises:
        Cancelled: The reading was ended.
    """
    with tempfile.TemporaryDirectory(prefix="pace-") as folder:
        request = replace(request, journal=str(Path(folder) / "journal"))
        talk, death = run_request(request, running, at)
        if not death and talk.end is not None and talk.end["end"] is not None:
            return Outcome(reading_of(talk.end["end"]), talk.sha256, tuple(talk.pages))
        remedy = _TOO_SLOW if talk.late else _DAMAGED
        if Path(request.journal).exists():
            rest, again = run_request(replace(request, finish=True), running, at)
            if not again and rest.end is not None and rest.end["end"] is not None:
                return _rescued(reading_of(rest.end["end"]), rest.pages, death, remedy, request)
        return Outcome(ParseResult("corrupt", warnings=(death,), remedy=remedy), "", ())


def _rescued(
    reading: ParseResult, pages: list[Page], death: str, remedy: str, request: Request
) -> Outcome:
    """What was parsed before a parser died."""
    warnings = (death, *reading.warnings)
    status: Status = "partial" if pages else "corrupt"
    kept = replace(reading, status=status, warnings=warnings, remedy=remedy)
    with Path(request.path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Outcome(kept, sha256, tuple(pages))


def mark_isolated(request: Request) -> tuple[list[list[list[float]]] | None, str]:
    """Has quotes found, and highlighted, by another process.

    Args:
        request: The file, the quotes and where to write the copy.

    Returns:
        For every quote its rectangles; or None and what went wrong.
    """
    talk, death = run_request(request, Running(), lambda done, total: None)
    if death or talk.end is None:
        return None, death
    return talk.end["end"], talk.end.get("problem", "")
