"""A layer under `os` that fails, interrupts or kills at one file operation of a piece of work."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from pace_integrations.errors import PaceError

Fault = Literal["error", "interrupt", "interrupt after", "kill"]
FAULTS: tuple[Fault, ...] = ("error", "interrupt", "interrupt after", "kill")
OPERATIONS = (
    "open", "close", "fsync", "mkdir", "replace", "rename", "unlink", "rmdir", "utime", "listdir",
    "scandir", "lstat",
)  # fmt: skip
KILLED = 9
# Every operation of a library's changes takes minutes, so they are walked in strides; with
# PACE_EVERY_STEP=1 nothing is left out.
EVERY_STEP = os.environ.get("PACE_EVERY_STEP") == "1"


class Faults:
    """Counts file operations and disturbs the one with a number.

    Args:
        at: Number of the operation, from 0; beyond the last, nothing happens.
        fault: What happens there.
    """

    def __init__(self, at: int, fault: Fault) -> None:
        self.at = at
        self.fault = fault
        self.count = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the layer under what runs inside."""
        before = {name: getattr(os, name) for name in (*OPERATIONS, "fdopen")}
        for name in OPERATIONS:
            setattr(os, name, self._wrap(before[name]))
        os.fdopen = lambda *a, **k: _Stream(before["fdopen"](*a, **k), self)
        try:
            yield
        finally:
            for name, real in before.items():
                setattr(os, name, real)

    @property
    def reached(self) -> bool:
        """Whether there were so many operations."""
        return self.count > self.at

    def _wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.run(real, *args, **kwargs)

    def run(self, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do one operation."""
        here, self.count = self.count == self.at, self.count + 1
        if here and self.fault == "error":
            raise OSError(5, "Input/output error")
        if here and self.fault == "interrupt":
            raise KeyboardInterrupt
        if here and self.fault == "kill":
            os._exit(KILLED)
        result = real(*args, **kwargs)
        if here and self.fault == "interrupt after":
            if hasattr(result, "close"):
                result.close()  # an iterator that nobody gets
            raise KeyboardInterrupt
        return result


class _Stream:
    """A file whose writes count as operations."""

    def __init__(self, stream: Any, faults: Faults) -> None:
        self._stream, self._faults = stream, faults

    def write(self, data: bytes) -> int:
        return int(self._faults.run(self._stream.write, data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def disturb_each_operation(
    work: Callable[[], object],
    prepare: Callable[[], object],
    faults: tuple[Fault, ...] = FAULTS,
    stride: int = 1,
) -> Iterator[tuple[Fault, int]]:
    """Do a piece of work again and again, with each fault at each of its file operations in turn.

    Args:
        work: The work; errors that it raises are its own affair.
        prepare: Called before each attempt.
        faults: The faults.
        stride: Distance of the operations that are disturbed; 1 takes each.

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
            at += stride


def _run_here(work: Callable[[], object], faults: Faults) -> bool:
    with faults.installed(), suppress(OSError, PaceError, KeyboardInterrupt):
        work()
    return faults.reached


def _run_killed(work: Callable[[], object], faults: Faults) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        try:
            with faults.installed():
                work()
        finally:
            os._exit(KILLED if faults.reached else 0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == KILLED


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
