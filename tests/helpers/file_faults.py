"""A layer under `os` that fails, interrupts or kills at one file operation of a piece of work."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from pace_integrations.errors import PaceError

Fault = Literal["error", "interrupt", "interrupt after", "kill", "stop"]
FAULTS: tuple[Fault, ...] = ("error", "interrupt", "interrupt after", "kill")
# An interrupt before an operation finds on disk what one after the operation before it finds.
LIGHT: tuple[Fault, ...] = ("error", "interrupt after")
CHANGES = ("open", "close", "fsync", "mkdir", "replace", "rename", "unlink", "rmdir", "utime")
# They fail, but an interrupt or a kill at one finds what the operation before it left.
LOOKS = ("stat", "lstat", "listdir", "scandir")
KILLED = 9


class Faults:
    """Counts file operations and disturbs the one with a number.

    Args:
        at: Number of the operation, from 0; beyond the last, nothing happens.
        fault: What happens there. ``"stop"`` happens at each, whatever the number.
    """

    def __init__(self, at: int, fault: Fault) -> None:
        self.at = at
        self.fault = fault
        self.count = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the layer under what runs inside."""
        looks = LOOKS if self.fault == "error" else ()
        before = {name: getattr(os, name) for name in (*CHANGES, *looks, "fdopen")}
        open_file = io.open
        for name in (*CHANGES, *looks):
            setattr(os, name, self._wrap(before[name]))
        os.fdopen = lambda handle, mode, buffering: io.BufferedWriter(
            _File(handle, mode, self), buffering
        )
        if looks:
            io.open = self._wrap(open_file)
        try:
            yield
        finally:
            io.open = open_file
            for name, real in before.items():
                setattr(os, name, real)

    @property
    def reached(self) -> bool:
        """Whether there were so many operations."""
        return self.count > self.at

    def _wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.run(lambda: real(*args, **kwargs))

    def run(self, work: Callable[[], Any], half: Callable[[], Any] = lambda: None) -> Any:
        """Do one operation.

        Args:
            work: Does it.
            half: Does half of it: a process may be killed in the middle.
        """
        here, self.count = self.count == self.at, self.count + 1
        if self.fault == "stop":
            half()
            os.kill(os.getpid(), signal.SIGSTOP)
        if here and self.fault == "error":
            raise OSError(5, "Input/output error")
        if here and self.fault == "interrupt":
            raise KeyboardInterrupt
        if here and self.fault == "kill":
            half()
            os._exit(KILLED)
        result = work()
        if here and self.fault == "interrupt after":
            if hasattr(result, "close"):
                result.close()  # an iterator that nobody gets
            raise KeyboardInterrupt
        return result


class _File(io.FileIO):
    """A file below its buffer: what goes to the system at once is one operation."""

    def __init__(self, handle: int, mode: str, faults: Faults) -> None:
        super().__init__(handle, mode)
        self._faults = faults

    def write(self, data: Any) -> int:
        start, write = self.tell(), super().write

        def write_all() -> int:
            self.seek(start)
            return write(data)

        return int(self._faults.run(write_all, half=lambda: write(data[: len(data) // 2])))


@contextmanager
def memory_folder() -> Iterator[Path]:
    """Make a folder in memory, where the system has a place for it: a disk is ten times slower."""
    base = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=base if os.access(base, os.W_OK) else None) as folder:
        yield Path(folder)


def disturb_each_operation(
    work: Callable[[], object],
    prepare: Callable[[], object],
    faults: tuple[Fault, ...] = FAULTS,
) -> Iterator[tuple[Fault, int]]:
    """Do a piece of work again and again, with each fault at each of its file operations in turn.

    Args:
        work: The work; errors that it raises are its own affair.
        prepare: Called before each attempt.
        faults: The faults.

    Yields:
        The fault and the number of its operation, for the caller to look around.
    """
    for fault in faults:
        at, reached = 0, True
        while reached:
            prepare()
            layer = Faults(at, fault)
            reached = _run_killed(work, layer) if fault == "kill" else _run_here(work, layer)
            yield fault, at
            at += 1


def kill_at_each_operation(
    work: Callable[[], object], prepare: Callable[[], object], folder: Path
) -> Iterator[tuple[Fault, int]]:
    """Show what a process leaves in a folder that is killed at each of its file operations.

    One process does the work, stops at each operation and is copied there: what is on disk then is
    all that would be left of it. Starting and killing one for each takes ten times as long.

    Args:
        work: The work, done in a forked child.
        prepare: Called once before it.
        folder: Holds all that the work writes.

    Yields:
        The fault and the number of its operation, with `folder` as it was there; in the end, as the
        work left it.
    """
    prepare()
    child, left = _fork(work, Faults(0, "stop")), list[Path]()
    while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
        left.append(shutil.copytree(folder, folder.with_name(f"{folder.name}-{len(left)}")))
        os.kill(child, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(status) == 0
    yield "kill", len(left)
    for at, copy in enumerate(left):
        shutil.rmtree(folder)
        copy.rename(folder)
        yield "kill", at


def _run_here(work: Callable[[], object], faults: Faults) -> bool:
    with faults.installed(), suppress(OSError, PaceError, KeyboardInterrupt):
        work()
    return faults.reached


def _run_killed(work: Callable[[], object], faults: Faults) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(_fork(work, faults), 0)[1]) == KILLED


def _fork(work: Callable[[], object], faults: Faults) -> int:
    """Do a piece of work under the layer in a child, and return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        return process
    status = 1
    try:
        with faults.installed():
            work()
        status = 0
    finally:
        os._exit(status)


def interrupt_each_line(
    work: Callable[[], object], prepare: Callable[[], object], package: Path
) -> Iterator[int]:
    """Do a piece of work again and again, interrupted before each line of a package in turn."""
    at, reached = 0, True
    while reached:
        prepare()
        before, lines = sys.gettrace(), 0

        def trace(frame: FrameType, event: str, _: object, at: int = at) -> Any:
            nonlocal lines
            if not frame.f_code.co_filename.startswith(str(package)):
                return None
            if event == "line":
                lines += 1
                if lines == at + 1:
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        reached = lines > at
        yield at
        at += 1
