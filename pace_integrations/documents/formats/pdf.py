"""What the PDF parsers share: from raw pages to a reading.

Knows no parser; `pdf` and `pdfium` each give it an open file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pace_integrations.documents.formats.clean import clean_characters, clean_page, vocabulary
from pace_integrations.documents.formats.journal import Journal
from pace_integrations.documents.formats.layout import Line, RunningLines
from pace_integrations.documents.formats.pdf_metadata import (
    OpenPdf,
    is_stamped,
    preamble,
    real_title,
)
from pace_integrations.documents.options import ReadLimits
from pace_integrations.documents.types import (
    LimitExceededError,
    Page,
    PagedReader,
    ParseJob,
    ParseResult,
    Status,
)

_REMEDIES: dict[Status, str] = {
    "encrypted": "Give its password (--password, ReadOptions.password) or save a copy without one.",
    "corrupt": "The file is damaged; open it in a PDF viewer, print it to a new PDF and read that.",
    "empty": "The file has no pages; export or download it again.",
    "no_text_layer": "The pages are pictures; turn on OCR (--ocr eng), or run ocrmypdf on it.",
    "partial": "Look at the pages named in the warnings; scanned pages need OCR.",
}
# Past this share of its time a file ends of itself, before the process that parses it is ended.
_SOFT = 0.6


@runtime_checkable
class Recognising(Protocol):
    """An open file some of whose pages are recognised from pictures."""

    recognised: list[int]


def refused(status: Status) -> ParseResult:
    """The reading of a file without any page, with its remedy."""
    return ParseResult(status, remedy=_REMEDIES[status])


def _numbers(indices: list[int]) -> str:
    """Page numbers as people write them: ``3, 5-9``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _collect(file: OpenPdf, limits: ReadLimits, journal: Journal, job: ParseJob) -> None:
    """Parses every page into the journal; a page that fails costs that page only."""
    start, count, size, scans = time.monotonic(), file.count, 0, list[int]()
    journal.write(preamble(file, count, limits.pages))
    for index in range(1, min(count, limits.pages) + 1):
        if time.monotonic() - start > _SOFT * limits.seconds or size > limits.expanded:
            break
        try:
            lines, problem = file.lines(index), None
        except LimitExceededError as error:
            journal.write({"warnings": [f"page {index}: {error}"]})
            break
        except Exception as error:  # a parser of hostile input may raise anything
            lines, problem = [], f"page {index} could not be read: {type(error).__name__}: {error}"
        size += sum(len(line.text) for line in lines)
        scans += [index] if is_stamped(file, index, lines) else []
        record = [(line.text, line.top) for line in lines]
        journal.write({"page": index, "lines": record, "problem": problem})
        job.at(index, count)
    if scans:
        named = f"pages with a large picture and hardly any text, as scans have: {_numbers(scans)}"
        journal.write({"warnings": [named]})


def read_whole(reader: PagedReader, data: bytes) -> ParseResult:
    """Reads a file and gathers its pages in the reading."""
    pages: list[Page] = []
    reading = reader.read_into(data, ParseJob(pages.append))
    return replace(reading, pages=tuple(pages))


def read_pdf(file: OpenPdf, limits: ReadLimits, job: ParseJob) -> ParseResult:
    """Reads a file page by page.

    Args:
        file: The open file.
        limits: Where the reading ends.
        job: Takes the pages.
    """
    with Journal(job.journal) as journal:
        _collect(file, limits, journal, job)
        if isinstance(file, Recognising) and file.recognised:
            journal.write({"warnings": [f"pages read by OCR: {_numbers(file.recognised)}"]})
        return _finish(journal, job, limits)


def read_journal(path: Path, limits: ReadLimits, job: ParseJob) -> ParseResult | None:
    """Makes the best of what a parser that crashed or hung had found.

    Args:
        path: The journal that it left.
        limits: The limits that it had.
        job: Takes the pages.

    Returns:
        The reading, or None if there is no page.
    """
    with Journal(path) as journal:
        if not any("page" in record for record in journal.read()):
            return None
        return _finish(journal, job, limits)


def _finish(journal: Journal, job: ParseJob, limits: ReadLimits) -> ParseResult:
    """Cleans the pages in the light of the whole document and gives them away."""
    first = next(journal.read())
    running, words = RunningLines(), set[str]()
    for index, lines, _ in _pages(journal):
        if not any(line.text.strip() for line in lines):
            continue  # a flood of blank pages takes no time
        running.see(lines, index)
        words |= vocabulary([clean_characters("\n".join(line.text for line in lines))])
    warnings, problems = list[str](), list[str]()
    blank, failed, parsed = list[int](), list[int](), 0
    for record in journal.read():
        warnings.extend(record.get("warnings", ()))
    for parsed, lines, problem in _pages(journal):
        body, header, footer = running.part(lines, parsed)
        text = clean_page(clean_characters(body), words)
        if problem is not None:
            failed.append(parsed)
            problems.append(problem)
        elif text:
            label = first["labels"][parsed - 1]
            section = first["sections"][parsed - 1]
            job.emit(Page(parsed, label, text, section, header, footer))
        else:
            blank.append(parsed)
    warnings += _unread(parsed, first["count"], limits)
    # First what concerns many pages: of a flood of warnings only the first ones are shown.
    return _reading(first, parsed, blank, failed, warnings, problems)


def _pages(journal: Journal) -> Iterator[tuple[int, list[Line], str | None]]:
    """Index, lines and problem of every page parsed."""
    for record in journal.read():
        if "page" in record:
            yield record["page"], [Line(*line) for line in record["lines"]], record["problem"]


def _unread(parsed: int, count: int, limits: ReadLimits) -> list[str]:
    if parsed == count:
        return []
    left = _numbers(list(range(parsed + 1, count + 1)))
    most = f"{limits.pages} pages or {limits.seconds:g} seconds"
    return [f"pages not read, over the limit of {most} per file: {left}"]


def _reading(
    first: Mapping[str, Any],
    parsed: int,
    blank: list[int],
    failed: list[int],
    warnings: list[str],
    problems: list[str],
) -> ParseResult:
    """Puts all that went wrong into a status and a remedy."""
    count, metadata = first["count"], dict(first["metadata"])
    read = parsed - len(blank) - len(failed)
    status: Status = "ok" if read == count else "partial"
    if not read:
        status = "corrupt" if failed else "no_text_layer"
    if status == "partial" and blank:
        warnings.append(f"pages without text: {_numbers(blank)}")
    return ParseResult(
        status,
        (),
        count,
        real_title(metadata.pop("title", "")),
        metadata,
        (*warnings, *problems),
        _REMEDIES.get(status),
    )
