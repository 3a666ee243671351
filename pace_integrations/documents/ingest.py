"""Reads many files: side by side, each with its limits, in a fixed order, with progress."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from pace_integrations.documents.duplicates import mark_duplicates
from pace_integrations.documents.formats.ocr import require_ocr
from pace_integrations.documents.formats.registry import read_into
from pace_integrations.documents.formats.sniffing import kind_in
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.sandbox.child import Request
from pace_integrations.documents.sandbox.parent import Cancelled, Outcome, Running, read_isolated
from pace_integrations.documents.types import Document, FileReport, Page, ParseJob, short_id

Progress: TypeAlias = Callable[[int, int], None]
Result: TypeAlias = tuple[Document | None, FileReport]

_MOST_WORKERS = 2
_PER_WORKER = 512 * 1024  # bytes of files that are worth the start of another process
_TRIES = 3
_WRONG = "The password given does not open the file; find out the right one."


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far a reading has come.

    Attributes:
        files_done: Files that are done.
        files: Files in all.
        pages: Pages parsed so far.
        pages_per_second: Pages parsed per second since the start.
        seconds_left: Estimate by the bytes still to parse; None while there is nothing to go by.
        path: The file that the news is about.
    """

    files_done: int
    files: int
    pages: int
    pages_per_second: float
    seconds_left: float | None
    path: str


Watch: TypeAlias = Callable[[ReadProgress], None]


@dataclass(slots=True)
class ProgressEvent:
    """A page parsed, or with `result` a file done."""

    file: int
    done: int = 0
    total: int = 0
    result: Result | None = None


@dataclass(slots=True)
class ProgressCounter:
    """Adds up the news of all files."""

    paths: Sequence[Path]
    sizes: list[int]
    start: float = field(default_factory=time.monotonic)
    pages: dict[int, int] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    files_done: int = 0

    def add(self, news: ProgressEvent) -> ReadProgress:
        """Counts one piece of news."""
        if news.result is not None:
            self.files_done += 1
            self.pages[news.file] = news.result[1].pages
            self.shares[news.file] = 1.0
        else:
            self.pages[news.file] = news.done
            self.shares[news.file] = news.done / max(1, news.total)
        seconds = max(1e-9, time.monotonic() - self.start)
        done = sum(self.sizes[file] * share for file, share in self.shares.items())
        left = seconds * (sum(self.sizes) - done) / done if done > 0 else None
        pages = sum(self.pages.values())
        path = str(self.paths[news.file])
        return ReadProgress(self.files_done, len(self.paths), pages, pages / seconds, left, path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_hostile(path: Path) -> bool:
    """Tells whether a file is of a kind whose parser had better run elsewhere."""
    try:
        if not path.is_file():
            return False  # never opened, only reported
        with path.open("rb") as file:
            kind = kind_in(file, path.suffix)
    except OSError:
        return False
    return kind is not None and kind.hostile


def _name(path: Path) -> str:
    """The file's name; bytes in it that are no UTF-8 would break tokenizers later on."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _passwords(path: Path, options: ReadOptions) -> Callable[[], str | None]:
    """Gives the passwords to try, one at a time, and then None."""
    given, tries = options.password, 0

    def ask() -> str | None:
        nonlocal tries
        tries += 1
        if given is None or tries > (1 if isinstance(given, str) else _TRIES):
            return None
        return given if isinstance(given, str) else given(str(path))

    return ask


def _here(path: Path, options: ReadOptions, password: str | None, at: At) -> Outcome:
    pages: list[Page] = []
    reading, sha256 = read_into(path, options, ParseJob(pages.append, at, password=password))
    return Outcome(reading, sha256, tuple(pages))


At: TypeAlias = Callable[[int, int], None]
_Parse: TypeAlias = Callable[["str | None"], Outcome]


def _result(path: Path, options: ReadOptions, parse: _Parse) -> Result:
    """Reads one file, with passwords where it asks for one, and reports on it."""
    start = time.perf_counter()
    outcome, ask = parse(None), _passwords(path, options)
    while outcome.reading.status == "encrypted" and (password := ask()) is not None:
        outcome = parse(password)
        if outcome.reading.status == "encrypted":
            outcome = replace(outcome, reading=replace(outcome.reading, remedy=_WRONG))
    reading, pages = outcome.reading, outcome.pages
    report = FileReport(
        str(path),
        reading.status,
        reading.page_count,
        len(pages),
        time.perf_counter() - start,
        reading.warnings,
        reading.remedy,
        sum(len(page.text.split()) for page in pages),
    )
    if not pages:
        return None, report
    title = reading.title or _name(path)
    sha256 = outcome.sha256
    return Document(
        short_id(sha256), title, pages, sha256, str(path), dict(reading.metadata)
    ), report


def read_file(path: Path, options: ReadOptions | None = None) -> Result:
    """Reads one file in this process. Never raises for what is in it.

    Args:
        path: The file.
        options: Limits, parsers and passwords.

    Returns:
        The document, or None if nothing could be read, and the report on the file.
    """
    chosen = options or ReadOptions()
    return _result(path, chosen, lambda password: _here(path, chosen, password, _ignore))


def _ignore(done: int, total: int) -> None:
    """Takes news that nobody asked for."""


def _workers(options: ReadOptions, hostile: Sequence[int], sizes: Sequence[int]) -> int:
    """How many processes are worth their start."""
    if options.workers is not None:
        return min(options.workers, len(hostile))
    if not sys.executable:  # an embedded interpreter cannot start others
        return 0
    work = sum(sizes[file] for file in hostile) // _PER_WORKER
    return min(len(hostile), os.cpu_count() or 1, _MOST_WORKERS, 1 + work)


class _Batch:
    """One reading of many files.

    Args:
        paths: The files.
        options: How to read them.
    """

    def __init__(self, paths: Sequence[Path], options: ReadOptions) -> None:
        self._paths, self._options = paths, options
        self._sizes = [_size(path) for path in paths]
        self._hostile = {file for file, path in enumerate(paths) if _is_hostile(path)}
        self._workers = _workers(options, sorted(self._hostile), self._sizes)
        self._running = Running()
        self._news: queue.SimpleQueue[ProgressEvent | BaseException] = queue.SimpleQueue()

    def _read(self, file: int) -> None:
        """Reads one file and puts the result, or what ended it, among the news."""
        path, options = self._paths[file], self._options

        def at(done: int, total: int) -> None:
            self._news.put(ProgressEvent(file, done, total))

        def parse(password: str | None) -> Outcome:
            if self._workers == 0 or file not in self._hostile:
                return _here(path, options, password, at)
            # A worker that is kept works where it was started.
            place = str(path.absolute())
            request = Request(place, "", options.limits, options.pdf, password, options.ocr)
            return read_isolated(request, self._running, at)

        try:
            self._news.put(ProgressEvent(file, result=_result(path, options, parse)))
        except Cancelled:
            return
        except BaseException as error:  # of a password's callback, or a full disk
            self._news.put(error)

    def run(self, progress: Progress | None, watch: Watch | None) -> list[Result]:
        """Reads all files; their results come in the order of the files."""
        tally = ProgressCounter(self._paths, self._sizes)
        results: dict[int, Result] = {}
        with ThreadPoolExecutor(max(1, self._workers), "pace-read") as threads:
            try:
                for file in range(len(self._paths)):
                    threads.submit(self._read, file)
                while len(results) < len(self._paths):
                    news = self._news.get()
                    if isinstance(news, BaseException):
                        raise news
                    now = tally.add(news)
                    if news.result is not None:
                        results[news.file] = news.result
                        if progress is not None:
                            progress(now.files_done, now.files)
                    if watch is not None:
                        watch(now)
            except BaseException:
                self._running.cancel()
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        return [results[file] for file in range(len(self._paths))]


def read_files(
    paths: Sequence[Path],
    options: ReadOptions,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> list[Result]:
    """Reads files side by side. Never raises for what is in them.

    Args:
        paths: The files.
        options: How to read them.
        progress: Called after every file with the files done and the files in all.
        watch: Called after every page.

    Returns:
        For every file its document, or None, and the report on it.

    Raises:
        MissingExtraError: OCR is wanted and its extra is not installed.
        DocumentError: OCR is wanted and Tesseract, or one of the languages, is not installed.
    """
    if options.ocr is not None:
        require_ocr(options.ocr)
    results = _Batch(paths, options).run(progress, watch)
    return mark_duplicates(results, drop=options.drop_duplicates)
