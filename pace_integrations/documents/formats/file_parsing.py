"""Finds the parser of a file and turns whatever happens there into a result.

Everything here runs in the process that parses.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from pace_integrations.documents.formats.capture import (
    Messages,
    captured_messages,
    limit_lines,
)
from pace_integrations.documents.formats.page_assembly import (
    PageRecord,
    Preamble,
    RawPage,
    assemble_pages,
)
from pace_integrations.documents.formats.registry import FORMATS, Format, ParseJob
from pace_integrations.documents.formats.sniffing import detect_format, is_locked_office, read_ends
from pace_integrations.documents.types import LimitExceededError, Page, ParseResult, Status
from pace_integrations.errors import MissingExtraError

NO_ACCESS = "Check that it is a file, that it exists and that you may read it."
TOO_LARGE = "Split the file, or raise the limits (--memory-limit) if you trust it."
DAMAGED = "The file is damaged; open it in its own program, save it anew and read that."
_NOT_OURS = (
    "Convert the file to PDF or text; read are texts of all kinds and "
    f"{' '.join(s for row in FORMATS if row.isolated for s in row.suffixes)}."
)
_OLD_OFFICE = "It is of an old Office format (.doc, .xls, .ppt, .msg); save it in the current one."
_NO_BYTES = "The file has no content; export or download it again."
_LOCKED = "It is behind a password, which only its own program opens; save a copy without one."


class PageCollector:
    """Gathers what a parser emits and makes pages of it, also where the parser did not finish."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self._raw: list[RawPage] = []
        self._preamble: Preamble | None = None

    def add(self, part: PageRecord) -> None:
        """Take one part."""
        if isinstance(part, Page):
            self.pages.append(part)
        elif isinstance(part, RawPage):
            self._raw.append(part)
        else:
            self._preamble = part

    def finish(self, result: ParseResult) -> ParseResult:
        """Return the result with its pages."""
        if self._preamble is not None and (self._raw or result.status == "ok"):
            made = assemble_pages(result, self._preamble, self._raw)
            # Files in the file come behind its own pages.
            last = self.pages[-1].index if self.pages else 0
            count = max(made.page_count, last)
            result = replace(made, page_count=count, pages=(*made.pages, *self.pages))
        else:
            count = max(result.page_count, self.pages[-1].index if self.pages else 0)
            result = replace(result, page_count=count, pages=tuple(self.pages))
        lost = result.status not in ("ok", "partial")
        return replace(result, status="partial") if result.pages and lost else result

    def rescue(self, status: Status, warning: str, remedy: str) -> ParseResult:
        """Return what there is after a parser ended before its time.

        Args:
            status: The status if there is nothing.
            warning: What ended it.
            remedy: What to do about it.
        """
        known = self._preamble.count if self._preamble is not None else len(self.pages)
        result = self.finish(ParseResult("ok", known, warnings=(warning,), remedy=remedy))
        missing = known - (self._raw[-1].index if self._raw else known)
        unread = (f"pages not read: {known - missing + 1}-{known}",) if missing > 0 else ()
        # What concerns the whole file comes first.
        warnings = (warning, *unread, *(w for w in result.warnings if w != warning))
        kept: Status = "partial" if result.pages else status
        return replace(result, status=kept, warnings=limit_lines(warnings), remedy=remedy)


def parse_file(path: Path, job: ParseJob) -> tuple[ParseResult, str]:
    """Parse one file in this process. Never raises for what is in it.

    Args:
        path: The file.
        job: Takes its parts, and has limits and options.

    Returns:
        What became of the file, without its pages and with all that its parser said; and the hash
        of its bytes, or "" where they were not read.
    """
    with captured_messages() as messages:
        if not path.is_file():
            # Opening a pipe or a device would wait forever.
            messages.add("not a regular file: a folder, a device or a link that leads nowhere")
            result, sha256 = ParseResult("unsupported", remedy=NO_ACCESS), ""
        else:
            try:
                result, sha256 = _parse_bytes(path, job, messages)
            except OSError as error:
                messages.add(f"the file cannot be opened: {error.strerror or error}")
                result, sha256 = ParseResult("corrupt", remedy=NO_ACCESS), ""
    return replace(result, warnings=messages.lines(result.warnings)), sha256


def _parse_bytes(path: Path, job: ParseJob, messages: Messages) -> tuple[ParseResult, str]:
    """Parse a file; returns what became of it and the hash of its bytes."""
    limit = job.options.limits.size
    with path.open("rb") as file:
        head, tail = read_ends(file)
        row = detect_format(head, path.name, tail)
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return ParseResult("empty", remedy=_NO_BYTES), ""
        if is_locked_office(head, tail):
            return ParseResult("encrypted", remedy=_LOCKED), ""
        if row is None:
            old = head.startswith(b"\xd0\xcf\x11\xe0")
            return ParseResult("unsupported", remedy=_OLD_OFFICE if old else _NOT_OURS), ""
        if size > limit:
            messages.add(f"the file is larger than the limit of {limit / 2**20:g} MiB")
            return ParseResult("unsupported", remedy=TOO_LARGE), ""
        data = file.read(size)  # takes as much memory as it may read
    sha256 = hashlib.sha256(data).hexdigest()
    return run_parser(row, data, replace(job, suffix=path.suffix.lower()), messages), sha256


def run_parser(row: Format, data: bytes, job: ParseJob, messages: Messages) -> ParseResult:
    """Give the bytes to their parser; whatever it raises becomes a status.

    Pages that were emitted before are kept: the caller makes ``partial`` of a status with pages.
    """
    try:
        try:
            parse = row.load_parser()
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"reading {row.name} files", row.extra or "documents"
            ) from error
        return parse(data, job)
    except MissingExtraError as error:
        return ParseResult("unsupported", remedy=f"{str(error)[0].upper()}{str(error)[1:]}.")
    except LimitExceededError as error:
        messages.add(str(error))
        return ParseResult("unsupported", remedy=TOO_LARGE)
    except MemoryError:
        limit = job.options.limits.memory / 2**20
        messages.add(f"it needs more memory than {limit:g} MiB, the limit")
        return ParseResult("unsupported", remedy=TOO_LARGE)
    except Exception as error:  # a parser of hostile input may raise anything
        messages.add(f"{type(error).__name__}: {error}")
        return ParseResult("corrupt", remedy=DAMAGED)
