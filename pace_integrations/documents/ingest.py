"""Reads many files: in parallel, each with its limits, in a fixed order, with progress."""

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
from pace_integrations.documents.formats.file_parsing import PageCollector, parse_file
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sniffing import needs_worker
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.quotes.words import count_words
from pace_integrations.documents.sandbox.parent import (
    CancelledError,
    RunningWorkers,
    parse_isolated,
)
from pace_integrations.documents.sandbox.request import Request
from pace_integrations.documents.types import Document, FileReport, ParseResult, short_id

Progress: TypeAlias = Callable[[int, int], None]
Result: TypeAlias = tuple[Document | None, FileReport]

_MAX_WORKERS = 2
_MAX_BYTES_HERE = 4 * 2**20  # of a file that is parsed in this process, without its own limits
_BYTES_PER_WORKER = 512 * 1024  # bytes of files that are worth the start of another process
_MAX_TRIES = 3
_WRONG_PASSWORD = "The password given does not open the file; find out the right one."


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """How far the reading of files has come.

    Attributes:
        files_done: Files that are done.
        files: Files in all.
        pages: Pages parsed so far.
        pages_per_second: Pages parsed per second since the start.
        seconds_left: Estimate by the bytes still to parse; None while there is nothing to go by.
        path: The file that was parsed last.
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
    """Adds up the progress of all files."""

    paths: Sequence[Path]
    sizes: list[int]
    start: float = field(default_factory=time.monotonic)
    pages: dict[int, int] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    files_done: int = 0

    def add(self, event: ProgressEvent) -> ReadProgress:
        """Count one event."""
        if event.result is not None:
            self.files_done += 1
            self.pages[event.file] = event.result[1].pages
            self.shares[event.file] = 1.0
        else:
            self.pages[event.file] = event.done
            self.shares[event.file] = event.done / max(1, event.total)
        seconds = max(1e-9, time.monotonic() - self.start)
        done = sum(self.sizes[file] * share for file, share in self.shares.items())
        left = seconds * (sum(self.sizes) - done) / done if done > 0 else None
        pages = sum(self.pages.values())
        path = str(self.paths[event.file])
        return ReadProgress(self.files_done, len(self.paths), pages, pages / seconds, left, path)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _display_name(path: Path) -> str:
    """Return the file's name; bytes in it that are no UTF-8 would break tokenizers later on."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _password_source(path: Path, options: ReadOptions) -> Callable[[], str | None]:
    """Return a function that gives the passwords to try, one at a time, and then None."""
    given, tries = options.password, 0

    def ask() -> str | None:
        nonlocal tries
        tries += 1
        if given is None or tries > (1 if isinstance(given, str) else _MAX_TRIES):
            return None
        return given if isinstance(given, str) else given(str(path))

    return ask


Parsed: TypeAlias = tuple[ParseResult, str]
OnProgress: TypeAlias = Callable[[int, int], None]
_Parse: TypeAlias = Callable[["str | None"], Parsed]


def _parse_here(
    path: Path, options: ReadOptions, password: str | None, on_progress: OnProgress
) -> Parsed:
    """Parse a file in this process."""
    parts = PageCollector()
    job = ParseJob(parts.add, on_progress, options, password=password)
    result, sha256 = parse_file(path, job)
    return parts.finish(result), sha256


def _read_with_passwords(path: Path, options: ReadOptions, parse: _Parse) -> Result:
    """Read one file, with passwords where it asks for one, and report on it."""
    start = time.perf_counter()
    (result, sha256), ask = parse(None), _password_source(path, options)
    encrypted = result.status == "encrypted"
    while result.status == "encrypted" and (password := ask()) is not None:
        result, sha256 = parse(password)
        if result.status == "encrypted":
            result = replace(result, remedy=_WRONG_PASSWORD)
    pages = result.pages
    report = FileReport(
        str(path),
        result.status,
        result.page_count,
        len(pages),
        time.perf_counter() - start,
        result.warnings,
        result.remedy,
        sum(count_words(page.text) for page in pages),
        encrypted=encrypted,
    )
    if not pages:
        return None, report
    title, id_ = result.title or _display_name(path), short_id(sha256)
    return Document(id_, title, pages, sha256, str(path), dict(result.metadata)), report


def read_file(path: Path, options: ReadOptions | None = None) -> Result:
    """Read one file in this process. Never raises for what is in it.

    Args:
        path: The file.
        options: Limits, parsers and passwords.

    Returns:
        The document, or None if nothing could be read, and the report on the file.
    """
    chosen = options or ReadOptions()

    def parse(password: str | None) -> Parsed:
        return _parse_here(path, chosen, password, lambda done, total: None)

    return _read_with_passwords(path, chosen, parse)


def _count_workers(options: ReadOptions, isolated: Sequence[int], sizes: Sequence[int]) -> int:
    """Return how many processes are worth their start."""
    if options.workers is not None:
        return min(options.workers, len(isolated))
    if not sys.executable:  # an embedded interpreter cannot start others
        return 0
    work = sum(sizes[file] for file in isolated) // _BYTES_PER_WORKER
    return min(len(isolated), os.cpu_count() or 1, _MAX_WORKERS, 1 + work)


class _BatchReader:
    """Reads one list of files.

    Args:
        paths: The files.
        options: How to read them.
    """

    def __init__(self, paths: Sequence[Path], options: ReadOptions) -> None:
        self._paths, self._options = paths, options
        self._sizes = [_file_size(path) for path in paths]
        large = {file for file, size in enumerate(self._sizes) if size > _MAX_BYTES_HERE}
        self._isolated = large | {file for file, path in enumerate(paths) if needs_worker(path)}
        self._workers = _count_workers(options, sorted(self._isolated), self._sizes)
        self._running = RunningWorkers()
        self._events: queue.SimpleQueue[ProgressEvent | BaseException] = queue.SimpleQueue()

    def _read_one(self, file: int) -> None:
        """Read one file and put the result, or what ended it, among the events."""
        path, options = self._paths[file], self._options

        def on_progress(done: int, total: int) -> None:
            self._events.put(ProgressEvent(file, done, total))

        def parse(password: str | None) -> Parsed:
            if self._workers == 0 or file not in self._isolated:
                return _parse_here(path, options, password, on_progress)
            # A worker that is kept works where it was started.
            place = str(path.absolute())
            request = Request(place, options.limits, options.pdf, password, options.ocr)
            return parse_isolated(request, self._running, on_progress)

        try:
            result = _read_with_passwords(path, options, parse)
            self._events.put(ProgressEvent(file, result=result))
        except CancelledError:
            return
        except BaseException as error:  # of a password's callback, or a full disk
            self._events.put(error)

    def read_all(self, progress: Progress | None, watch: Watch | None) -> list[Result]:
        """Read all files; their results come in the order of the files."""
        counter = ProgressCounter(self._paths, self._sizes)
        results: dict[int, Result] = {}
        with ThreadPoolExecutor(max(1, self._workers), "pace-read") as threads:
            try:
                for file in range(len(self._paths)):
                    threads.submit(self._read_one, file)
                while len(results) < len(self._paths):
                    event = self._events.get()
                    if isinstance(event, BaseException):
                        raise event
                    now = counter.add(event)
                    if event.result is not None:
                        results[event.file] = event.result
                        if progress is not None:
                            progress(now.files_done, now.files)
                    if watch is not None:
                        watch(now)
            except BaseException:
                self._running.cancel_all()
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        return [results[file] for file in range(len(self._paths))]


def read_files(
    paths: Sequence[Path],
    options: ReadOptions,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> list[Result]:
    """Read files in parallel. Never raises for what is in them.

    Args:
        paths: The files.
        options: How to read them.
        progress: Called after every file with the files done and the files in all.
        watch: Called after every page.

    Returns:
        For every file its document, or None, and the report on it.

    Raises:
        MissingExtraError: OCR is asked for and its extra is not installed.
        DocumentError: OCR is asked for and Tesseract, or one of the languages, is not installed.
    """
    if options.ocr is not None:
        from pace_integrations.documents.formats.pdf.ocr import require_ocr

        require_ocr(options.ocr)
    results = _BatchReader(paths, options).read_all(progress, watch)
    return mark_duplicates(results, drop=options.drop_duplicates)
