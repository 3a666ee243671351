"""Divides a page into passages of a few sentences, each of which can be read by itself.

Small models answer from one short passage better than from many. A passage repeats the heading it
stands under and, inside a table, the table's first row; neighbors overlap, and no row of a table
is ever divided. Pure functions of text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pace_integrations.documents.quotes.sentences import Span, split_sentences

SIZE = 500  # characters
OVERLAP = 0.25
_SLACK = 1.2  # a rest of this share of a passage is not worth another one

_LINE = re.compile(r"[^\n]+")
# Cells are divided by a bar, a tab, or twice by wide gaps.
_ROW = re.compile(r"\S\s+\|\s+\S|\t\s*\S|\S {2,}\S.* {2,}\S|^\s*\|.*\|\s*$")
_NUMBERED = re.compile(r"(?:#{1,6}|\d+(?:\.\d+)*\.?|[IVXLC]+\.|[A-Z]\.)\s+\S")
_LONGEST_HEADING = 80


@dataclass(frozen=True, slots=True)
class TextPassage:
    """A part of a page.

    Attributes:
        text: What the model reads: heading, first row of the table, and the words themselves.
        start: First character of the words in the page's text, 0-based.
        end: One past their last character.
    """

    text: str
    start: int
    end: int


def split_page(text: str, section: str | None = None, size: int | None = SIZE) -> list[TextPassage]:
    """Divide a page.

    Args:
        text: The page's text.
        section: Heading that the page stands under where it begins, or None.
        size: About how many characters a passage has; None leaves the page whole.

    Returns:
        At least one passage, in order; together they hold every word of the page.
    """
    if size is None or len(text) <= _SLACK * size:
        return [TextPassage(text, 0, len(text))]
    lines = _Lines(text, section)
    units, passages, first = list(lines.iter_units()), [], 0
    while first < len(units):
        last = first
        start = units[first][0]
        while last + 1 < len(units) and units[last + 1][1] - start <= size:
            last += 1
        if units[-1][1] - start <= _SLACK * size:
            last = len(units) - 1
        end = units[last][1]
        passages.append(TextPassage(lines.prefix(start, end) + text[start:end], start, end))
        if last == len(units) - 1:
            break
        first = _step_back(units, first, last, size * OVERLAP)
    return passages or [TextPassage(text, 0, len(text))]  # nothing but white space


def _step_back(units: list[Span], first: int, last: int, most: float) -> int:
    """Return the unit with which the next passage begins: it repeats at most `most` characters."""
    following = last + 1
    while following - 1 > first and units[last][1] - units[following - 1][0] <= most:
        following -= 1
    return following


class _Lines:
    """The lines of a page: which are rows of a table and which are headings."""

    def __init__(self, text: str, section: str | None) -> None:
        self._text = text
        self._section = section
        self._spans = [match.span() for match in _LINE.finditer(text) if match[0].strip()]
        self._rows = [bool(_ROW.search(text[a:b])) for a, b in self._spans]
        self._headings = [not row and self._is_heading(i) for i, row in enumerate(self._rows)]

    def iter_units(self) -> Iterator[Span]:
        """Yield what is never divided: rows of tables, and the sentences between them."""
        begin: int | None = None
        for i, (start, end) in enumerate(self._spans):
            if not self._rows[i]:
                begin = start if begin is None else begin
                continue
            if begin is not None:
                yield from self._iter_sentences(begin, self._spans[i - 1][1])
                begin = None
            yield start, end
        if begin is not None:
            yield from self._iter_sentences(begin, self._spans[-1][1])

    def _iter_sentences(self, start: int, end: int) -> Iterator[Span]:
        for a, b in split_sentences(self._text[start:end]):
            yield start + a, start + b

    def prefix(self, start: int, end: int) -> str:
        """Return the heading, and the first row of the table, that a span stands under."""
        lines = [i for i, (first, _) in enumerate(self._spans) if first <= start]
        if not lines:
            return ""
        here, parts = lines[-1], []
        heading = next((i for i in reversed(lines) if self._headings[i]), None)
        if heading is None:
            parts = [self._section] if self._section else []
        elif self._spans[heading][0] < start:
            parts = [self._line(heading)]
        top = here
        while self._rows[here] and top > 0 and self._rows[top - 1]:
            top -= 1
        if self._rows[here] and top < here:
            parts.append(self._line(top))
        shown = self._text[start:end]
        return "".join(f"{part}\n" for part in parts if part and not shown.startswith(part))

    def _line(self, index: int) -> str:
        start, end = self._spans[index]
        return self._text[start:end].strip()

    def _is_heading(self, index: int) -> bool:
        line = self._line(index)
        if (
            len(line) > _LONGEST_HEADING
            or line[-1] in ".,;!?"
            or not line[0].isalnum() | (line[0] == "#")
        ):
            return False
        if line[0].islower() or not any(char.isalpha() for char in line):
            return False
        if _NUMBERED.match(line):
            return True
        # Unnumbered, it must stand apart from what comes before it.
        before = self._spans[index - 1][1] if index else 0
        return index == 0 or self._text[before : self._spans[index][0]].count("\n") > 1
