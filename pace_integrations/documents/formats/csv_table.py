"""Reads tables in text files: CSV and TSV."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.encodings import decode_text
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import TARGET
from pace_integrations.documents.formats.table_rows import is_header
from pace_integrations.documents.types import LimitExceededError, Page, ParseResult

_DELIMITERS = "\t;|,"  # the comma last: where all fit alike, it may be a decimal one
_SAMPLE = 64 * 1024
_NAMED = re.compile(r"sep=([^\n])\n", re.IGNORECASE)  # a line that Excel writes and does not show
_NOT_TEXT = "The file is not text, or in an encoding that it does not declare; save it as UTF-8."
_EMPTY = "The table holds no cells; check that it was saved completely."
_SAVE_AGAIN = "Save the file as UTF-8 text and read it again."


def slice_rows(
    rows: Iterable[Sequence[str]], name: str = "", first_index: int = 1
) -> Iterator[Page]:
    """Yield rows in slices of bounded length, each below the header row.

    The first row is the header if it names the columns, as `is_header` tells.

    Args:
        rows: Cells of each row.
        name: Name of the sheet, or "".
        first_index: Index of the first page.
    """
    header = ""
    lines: list[str] = []
    start, size, index = 1, 0, first_index
    number = 0
    rows = iter(rows)
    head = list(itertools.islice(rows, 2))
    for number, cells in enumerate(itertools.chain(head, rows), 1):
        line = format_cells(cells)
        if number == 1 and is_header(cells, *head[1:]):
            header, start = line, 2
            continue
        if lines and size + len(line) > TARGET:
            yield _make_slice(index, header, lines, name, start, number - 1)
            index, lines, size, start = index + 1, [], 0, number
        if line:
            lines.append(line)
            size += len(line) + 1
    if lines or header:
        yield _make_slice(index, header, lines, name, start if lines else 1, max(number, 1))


def _make_slice(
    index: int, header: str, lines: Sequence[str], name: str, start: int, end: int
) -> Page:
    rows = f"rows {start}-{end}" if end > start else f"row {start}"
    section = f"{name}, {rows}" if name else rows
    text = "\n".join(
        [*([f"[Sheet {name}]"] if name else []), *([header] if header else []), *lines]
    )
    return Page(index, None, text, section)


def format_cells(cells: Sequence[str]) -> str:
    """Return a row as ``a | b``; empty cells keep their place, but for those at the end."""
    flat = [" ".join(clean_characters(cell).split()) for cell in cells]
    while flat and not flat[-1]:
        flat.pop()
    return " ".join(" | ".join(flat).split())


def _find_delimiter(text: str, suffix: str) -> str:
    """Return the character at which most rows of a sample have the same number of cells.

    The standard library's sniffer takes quadratic time on quotes.
    """
    if suffix in (".tsv", ".tab"):
        return "\t"
    sample = text[:_SAMPLE].rsplit("\n", 1)[0]
    scores = [_count_even_rows(sample, delimiter) for delimiter in _DELIMITERS]
    return _DELIMITERS[scores.index(max(scores))] if any(scores) else ","


def _count_even_rows(sample: str, delimiter: str) -> int:
    try:
        widths = Counter(map(len, csv.reader(StringIO(sample), delimiter=delimiter)))
    except csv.Error:
        return 0
    return max((count for width, count in widths.items() if width > 1), default=0)


def _read_rows(text: str, suffix: str) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # before the first reader
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    named = _NAMED.match(text)
    if named is not None:
        text = text[named.end() :]
    delimiter = named[1] if named is not None else _find_delimiter(text, suffix)
    yield from csv.reader(StringIO(text), delimiter=delimiter)


def parse_csv(data: bytes, job: ParseJob) -> ParseResult:
    """Read a table in slices of rows, each with the header."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the table is larger than the limit of expanded bytes")
    text, problem = decode_text(data)
    warnings = () if problem is None else (problem,)
    if text is None:
        return ParseResult("corrupt", warnings=warnings, remedy=_NOT_TEXT)
    count = 0
    for page in slice_rows(_read_rows(text, job.suffix)):
        job.emit(page)
        count = page.index
    if not count:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    if problem is not None:
        return ParseResult("partial", count, warnings=warnings, remedy=_SAVE_AGAIN)
    return ParseResult("ok", count)
