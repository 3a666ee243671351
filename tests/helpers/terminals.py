"""The shell's commands on a pseudo-terminal, in this process or in one of their own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from unittest import mock

from pace_integrations.cli import app

# A suite that runs in the background hands down an ignored Ctrl-C.
SCRIPT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from pace_integrations.entry import main; main()"
)
STREAMS = ("stdin", "stdout", "stderr")


class Terminal:
    """A pseudo-terminal; what is written to it is collected."""

    def __init__(self, columns: int = 80) -> None:
        self._ours, self.its = pty.openpty()
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._pieces: list[bytes] = []
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """What has been written so far."""
        return b"".join(self._pieces).decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def wait_for(self, wanted: str, seconds: float = 60, after: int = 0) -> int:
        """Wait until a text is there, behind a place; return the place behind it."""
        end = time.monotonic() + seconds
        while (at := self.text.find(wanted, after)) < 0:
            assert time.monotonic() < end, f"{wanted!r} is not in {self.text!r}"
            time.sleep(0.01)
        return at + len(wanted)

    def close(self) -> None:
        """End it, with all that was written to it collected."""
        with contextlib.suppress(OSError):
            os.close(self.its)
        self._reader.join(10)
        os.close(self._ours)

    def _collect(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65536)
            except OSError:  # how Linux says that the other end was closed
                return
            if not piece:
                return
            self._pieces.append(piece)


def run_on_terminal(
    *arguments: object, only: Sequence[str] = ("stdout", "stderr"), columns: int = 80
) -> tuple[int, str, str]:
    """Run a command in this process, with some of its streams on a terminal.

    Returns:
        The exit code, what the terminal shows, and what the other streams got.
    """
    terminal = Terminal(columns)
    read, write = os.pipe()
    with contextlib.ExitStack() as stack:
        for name in STREAMS[1:]:
            target = os.dup(terminal.its if name in only else write)
            stream = stack.enter_context(open(target, "w", encoding="utf-8"))  # noqa: PTH123
            stack.enter_context(mock.patch.object(sys, name, stream))
        try:
            app([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    os.close(write)
    with open(read, encoding="utf-8") as piped:  # noqa: PTH123
        other = piped.read()
    terminal.close()
    return code, terminal.text, other


@contextlib.contextmanager
def start_on_terminal(
    *arguments: object, env: dict[str, str] | None = None, **streams: int
) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """Start a command in a process of its own, on a terminal but for the streams given."""
    terminal = Terminal()
    kept: dict[str, int] = {name: streams.get(name, terminal.its) for name in STREAMS}
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", **(env or {})}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **kept)
    os.close(terminal.its)
    try:
        yield terminal, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        terminal.close()


def run_piped(
    *arguments: object, env: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, its streams being pipes."""
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    given = {"capture_output": True, **options}
    return subprocess.run(command, env=environment, text=True, check=False, timeout=120, **given)
