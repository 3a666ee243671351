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
from pace_integrations.documents.formats.table_rows import count_header_rows
from pace_integrations.documents.types import LimitExceededError, Page, ParseResult

# The comma last: where all fit alike, it may be a decimal one. Others where none of these fits.
_DELIMITERS = ("\t;|,", "^~¦\x1f\x01")
_QUOTES = "\"'"
_SAMPLE = 64 * 1024
_HEAD = 7  # rows among which the header stands, and one below it
_NAMED = re.compile(r"sep=([^\n])\n", re.IGNORECASE)  # a line that Excel writes and does not show
_NOT_TEXT = "The file is not text, or in an encoding that it does not declare; save it as UTF-8."
_EMPTY = "The table holds no cells; check that it was saved completely."
_SAVE_AGAIN = "Save the file as UTF-8 text and read it again."


def slice_rows(
    rows: Iterable[Sequence[str]], name: str = "", first_index: int = 1
) -> Iterator[Page]:
    """Yield rows in slices of bounded length, each below the header row.

    The first row is the header if it names the columns, or a row below a title that does.

    Args:
        rows: Cells of each row.
        name: Name of the sheet, or "".
        first_index: Index of the first page.
    """
    lines: list[str] = []
    size, index = 0, first_index
    rows = iter(rows)
    head = list(itertools.islice(rows, _HEAD))
    named = count_header_rows(head)
    header = "\n".join(filter(None, map(format_cells, head[:named])))
    start, number = named + 1, named
    for number, cells in enumerate(itertools.chain(head[named:], rows), start):
        line = format_cells(cells)
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


def _find_dialect(text: str, delimiters: str) -> tuple[str, str]:
    """Return the delimiter and the quote at which most rows of a sample have as many cells.

    The standard library's sniffer takes quadratic time on quotes.

    Args:
        text: The text.
        delimiters: The delimiter, where it is known, or "".
    """
    sample = text[:_SAMPLE].rsplit("\n", 1)[0]
    quotes = _QUOTES[:1] if _QUOTES[0] in sample else _QUOTES
    for candidates in (delimiters,) if delimiters else _DELIMITERS:
        pairs = [(delimiter, quote) for quote in quotes for delimiter in candidates]
        scores = [_count_even_rows(sample, *pair) for pair in pairs]
        if any(scores):
            return pairs[scores.index(max(scores))]
    return delimiters or ",", _QUOTES[0]


def _count_even_rows(sample: str, delimiter: str, quote: str) -> int:
    try:
        rows = csv.reader(StringIO(sample), delimiter=delimiter, quotechar=quote)
        widths = Counter(map(len, rows))
    except csv.Error:
        return 0
    return max((count for width, count in widths.items() if width > 1), default=0)


def _read_rows(text: str, suffix: str) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # before the first reader
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    named = _NAMED.match(text)
    if named is not None:
        text = text[named.end() :]
    known = named[1] if named is not None else "\t" if suffix in (".tsv", ".tab") else ""
    delimiter, quote = _find_dialect(text, known)
    yield from csv.reader(StringIO(text), delimiter=delimiter, quotechar=quote)


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
