"""Has files parsed by other processes, which may hang, crash or grow without harm.

Workers are plain interpreters that import the parsers and nothing heavy. They are started when
the first file needs one and serve many files. Nothing is pickled, and the script that runs is not
imported again, as `multiprocessing` would.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from pace_integrations.documents.types import Page, Reading, Status
from pace_integrations.documents.worker import Request, page_of, reading_of

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pace_integrations.documents.worker import main; main()"
)
_MOST_IDLE = 2
_GRACE = 1.0  # seconds that a process which lets go of its pipe has to end with its own status
_DAMAGED = "The file is damaged; open it in its own program, save it anew and read that."
_TOO_SLOW = "Print the file to a new PDF, or raise the limit of seconds if you trust it."

_idle: list[Worker] = []
_lock = threading.Lock()


class Cancelled(Exception):  # noqa: N818 - nothing went wrong
    """The reading was ended from outside."""


class Worker:
    """A process that parses one file at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _BOOT, json.dumps([os.path.abspath(p) for p in sys.path])]  # noqa: PTH100
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process at once; whoever reads from it meets the end."""
        self._process.kill()

    def close(self, grace: float = 0.0) -> int:
        """Ends the process and frees its pipes; returns its exit status."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _opened(pipe).close()
        return self._process.wait()

    def send(self, request: Request) -> None:
        """Hands over a request.

        Raises:
            OSError: The process has ended.
        """
        pipe = _opened(self._process.stdin)
        pipe.write(json.dumps(asdict(request)).encode("ascii") + b"\n")
        pipe.flush()

    def records(self) -> Iterator[dict[str, Any]]:
        """What the process tells about a request, up to and with the last, or to its death."""
        for line in _opened(self._process.stdout):
            record = json.loads(line)
            yield record
            if "end" in record:
                return


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _worker() -> Worker:
    """An idle worker that lives, or a new one."""
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.alive:
                return worker
            worker.close()
    return Worker()


def _rest(worker: Worker) -> None:
    """Keeps a worker for the next file, unless there are enough."""
    with _lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(worker)
            return
    worker.close()


@atexit.register
def end_idle_workers() -> None:
    """Ends the workers that wait for work."""
    with _lock:
        while _idle:
            _idle.pop().close()


# A forked child shares the pipes of its parent's workers and must leave them alone.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file in another process.

    Attributes:
        reading: Its status and the rest.
        sha256: Hash of its bytes, or "".
        pages: Its pages.
    """

    reading: Reading
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
class _Talk:
    """What a worker has told so far about one file."""

    pages: list[Page]
    started: bool = False
    at: int = 0
    total: int = 0
    end: Mapping[str, Any] | None = None
    sha256: str = ""
    late: bool = False


def _listen(worker: Worker, request: Request, running: Running, at: At) -> _Talk:
    """Has one request served, or ends the worker when its time is up."""
    talk = _Talk([])

    def stop() -> None:
        talk.late = True
        worker.kill()

    timer = threading.Timer(request.limits.seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        with running.using(worker), suppress(OSError):
            worker.send(request)
            for record in worker.records():
                _note(talk, record, at)
    finally:
        timer.cancel()
    if running.cancelled:
        worker.close()
        raise Cancelled
    return talk


At = Callable[[int, int], None]


def _note(talk: _Talk, record: Mapping[str, Any], at: At) -> None:
    talk.started = True
    if "page" in record:
        talk.pages.append(page_of(record["page"]))
    elif "at" in record:
        talk.at, talk.total = record["at"]
        at(talk.at, talk.total)
    elif "end" in record:
        talk.end, talk.sha256 = record, record["sha256"]


def _served(request: Request, running: Running, at: At) -> tuple[_Talk, str]:
    """Has a request served; returns what was told and how the worker ended, or ""."""
    worker = _worker()
    try:
        talk = _listen(worker, request, running, at)
        if not talk.started and not talk.late:  # it had died while it was idle
            worker.close()
            worker = Worker()
            talk = _listen(worker, request, running, at)
    except ValueError:  # no JSON: something else wrote into the pipe
        talk = _Talk([])
    if talk.end is not None:
        _rest(worker)
        return talk, ""
    status = worker.close(_GRACE)
    if talk.late:
        return talk, f"the parser took longer than the limit of {request.limits.seconds:g} seconds"
    return talk, f"the parser crashed ({_death(status)})"


def _death(status: int) -> str:
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
        talk, death = _served(request, running, at)
        if not death and talk.end is not None and talk.end["end"] is not None:
            return Outcome(reading_of(talk.end["end"]), talk.sha256, tuple(talk.pages))
        remedy = _TOO_SLOW if talk.late else _DAMAGED
        if Path(request.journal).exists():
            rest, again = _served(replace(request, finish=True), running, at)
            if not again and rest.end is not None and rest.end["end"] is not None:
                return _rescued(reading_of(rest.end["end"]), rest.pages, death, remedy, request)
        return Outcome(Reading("corrupt", warnings=(death,), remedy=remedy), "", ())


def _rescued(
    reading: Reading, pages: list[Page], death: str, remedy: str, request: Request
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
    talk, death = _served(request, Running(), lambda done, total: None)
    if death or talk.end is None:
        return None, death
    return talk.end["end"], talk.end.get("problem", "")
