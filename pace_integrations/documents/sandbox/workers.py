"""Processes that wait to parse files: plain interpreters that import the parsers and nothing heavy.

They are started when the first file needs one and serve many files. Nothing is pickled, and the
script that runs is not imported again, as `multiprocessing` would.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pace_integrations
from pace_integrations.documents.sandbox.request import Request

# Isolated: no module comes from the working directory, where a user's json.py may lie. Only this
# package is loaded by its path, wherever that is.
_BOOT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pace_integrations", sys.argv[1])
sys.modules["pace_integrations"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
sys.path[:] = sys.argv[2:]
from pace_integrations.documents.sandbox.child import main
main()
"""
_MAX_IDLE = 2

_idle: list[Worker] = []
_lock = threading.Lock()


class Worker:
    """A process that parses one file at a time."""

    def __init__(self) -> None:
        package = pace_integrations.__file__
        command = [sys.executable, "-I", "-c", _BOOT, package, *_import_paths()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    @property
    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once; a thread that reads from it meets the end."""
        self._process.kill()

    def close(self, grace: float = 0.0) -> int:
        """End the process and free its pipes; returns its exit status."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _require_pipe(pipe).close()
        return self._process.wait()

    def send(self, request: Request) -> None:
        """Send a request.

        Raises:
            OSError: The process has ended.
        """
        pipe = _require_pipe(self._process.stdin)
        pipe.write(json.dumps(asdict(request)).encode("ascii") + b"\n")
        pipe.flush()

    def read_records(self) -> Iterator[dict[str, Any]]:
        """Yield what the process tells about a request, to the last record or to its death."""
        for line in _require_pipe(self._process.stdout):
            record = json.loads(line)
            yield record
            if "end" in record:
                return


def _import_paths() -> list[str]:
    """Return the folders this process imports from, but for the working directory."""
    here = Path.cwd()
    return [entry for entry in sys.path if entry and Path(entry).resolve() != here]


def _require_pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def take_worker() -> Worker:
    """Return an idle worker that lives, or a new one."""
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.is_alive:
                return worker
            worker.close()
    return Worker()


def return_worker(worker: Worker) -> None:
    """Keep a worker for the next file, unless there are enough."""
    with _lock:
        if len(_idle) < _MAX_IDLE:
            _idle.append(worker)
            return
    worker.close()


@atexit.register
def end_idle_workers() -> None:
    """End the workers that wait for work."""
    with _lock:
        while _idle:
            _idle.pop().close()


# A forked child shares the pipes of its parent's workers and must leave them alone.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)
