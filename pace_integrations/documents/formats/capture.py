"""Keeps what parsers log and warn about off the screen and in the file's report."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

LOGGERS = ("pypdf", "fontTools", "openpyxl")
_MODULES = r"(pypdf|fontTools|cryptography|openpyxl)\b"
_MAX_LINES = 20
_LONGEST = 300
_MORE = re.compile(r"… and (\d+) more messages")

# Warning filters, log handlers and propagation are process-wide, so one file is parsed at a time.
# The parsers are pure Python and hold the interpreter anyway: waiting here costs nothing.
_ONE_AT_A_TIME = threading.RLock()


class Messages:
    """Distinct messages in order of arrival; past a bound they are only counted."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}
        self._more = 0

    def add(self, message: str) -> None:
        """Keep the message as one line, unless it is known already or the bound is reached."""
        line = _one_line(message)
        if line in self._seen:
            return
        if len(self._seen) < _MAX_LINES:
            self._seen[line] = None
        else:
            self._more += 1

    def lines(self, first: Sequence[str] = ()) -> tuple[str, ...]:
        """Return some messages, then those kept, then a line with the number of those left out."""
        more = (f"… and {self._more} more messages",) if self._more else ()
        return limit_lines([*first, *self._seen, *more])


def limit_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Return distinct lines of bounded length; those past a bound are counted in the last one."""
    merged = [line for line in dict.fromkeys(map(_one_line, lines)) if not _MORE.fullmatch(line)]
    more = sum(int(found[1]) for line in lines if (found := _MORE.fullmatch(line)))
    more += max(0, len(merged) - _MAX_LINES)
    return (*merged[:_MAX_LINES], *((f"… and {more} more messages",) if more else ()))


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


class _Keep(logging.Handler):
    """Keeps the records of one thread and hands all others on as if it were not there."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self._messages = messages
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, or passes it to the root logger, which it would have reached."""
        if record.thread != self._thread:
            logging.getLogger().callHandlers(record)
        elif record.levelno >= logging.WARNING:
            try:
                self._messages.add(record.getMessage())
            except Exception:  # a broken log line of a parser must not end the reading
                self._messages.add(str(record.msg))


@contextmanager
def _kept_logs(messages: Messages) -> Iterator[None]:
    handler = _Keep(messages)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate


@contextmanager
def _kept_warnings(messages: Messages) -> Iterator[None]:
    thread = threading.get_ident()
    with warnings.catch_warnings():
        # Only the parsers' own modules: other threads keep their filters.
        warnings.filterwarnings("always", module=_MODULES)
        show = warnings.showwarning

        def keep(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if threading.get_ident() == thread:
                messages.add(f"{category.__name__}: {message}")
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = keep
        yield


@contextmanager
def captured_messages() -> Iterator[Messages]:
    """Collect the parsers' log lines and warnings of this thread while the block runs.

    Yields:
        The messages, filled as they come; none of them reaches the screen or the user's log.
    """
    messages = Messages()
    with _ONE_AT_A_TIME, _kept_logs(messages), _kept_warnings(messages):
        yield messages
