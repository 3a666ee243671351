"""Splits a page into sentences that can be quoted."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]

LONGEST = 320

# Runs are tried from their beginning only, and taken whole, so that long ones take linear time.
_STOP = re.compile(r"(?<![.!?])[.!?]++['\"”’)\]]*+\s+|[。！？]++\s*|\n[ \t]*+\n\s*")
_OPENING = re.compile(r"[\"“‘'(\[]*")
# A full stop after these, after a single letter and after the number of a paragraph ends nothing.
_ABBREVIATION = re.compile(
    r"(?:\b(?:[^\W\d_]|dr|mr|mrs|ms|prof|st|nos?|vs|etc|cf|fig|sec|art|approx|inc|ltd|co|jr|sr)"
    r"|\b[a-z]\.[a-z]|^\s*\d{1,3})\.\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_LINE = re.compile(r"\n")
_FULL = 0.8


def _starts_lower(text: str, position: int) -> bool:
    """Tell whether what follows goes on with a small letter, as within a sentence."""
    opening = _OPENING.match(text, position)
    position = opening.end() if opening else position
    return text[position : position + 1].islower()


def _find_stops(text: str) -> Iterator[int]:
    """Yield where the next sentence begins after a full stop or a blank line."""
    for match in _STOP.finditer(text):
        if match[0][0] == "\n":
            yield match.end()
        elif not _starts_lower(text, match.end()):
            first = max(0, match.start() - 8)
            # A tail that was clipped must not look like the start of a line.
            tail = ("x" if first else "") + text[first : match.start() + 1]
            if not _ABBREVIATION.search(tail):
                yield match.end()


def _find_line_breaks(text: str) -> Iterator[int]:
    """Yield where a new line is a new statement (heading, list item, row), not wrapped prose."""
    breaks = [match.end() for match in _LINE.finditer(text)]
    low = [_starts_lower(text, position) for position in breaks]
    wrapped = 2 * sum(low) >= len(low)
    lines = [b - a - 1 for a, b in pairwise([0, *breaks, len(text) + 1])]
    width = min(max(lines), LONGEST)
    for position, length, goes_on in zip(breaks, lines, low, strict=False):
        if not goes_on and (not wrapped or length < _FULL * width):
            yield position


def _split_span(text: str, span: Span, at: Iterable[int]) -> list[Span]:
    """Split a span at ascending positions; parts lose their outer white space, blank ones go."""
    start, end = span
    spans = []
    for a, b in pairwise([start, *(position for position in at if start < position < end), end]):
        body = text[a:b]
        if body.strip():
            spans.append((a + len(body) - len(body.lstrip()), a + len(body.rstrip())))
    return spans


def _find_spaces(text: str, span: Span) -> Iterator[int]:
    """Yield where to split what is still too long: at spaces, or anywhere if there are none."""
    position, end = span
    while end - position > LONGEST:
        space = text.rfind(" ", position + 1, position + LONGEST)
        position = space if space > 0 else position + LONGEST
        yield position


def _split_long(text: str, span: Span) -> list[Span]:
    """Split a sentence that is too long to quote at its lines, then between words."""
    if span[1] - span[0] <= LONGEST:
        return [span]
    lines = _split_span(text, span, (match.end() for match in _LINE.finditer(text, *span)))
    return [piece for line in lines for piece in _split_span(text, line, _find_spaces(text, line))]


def split_sentences(text: str) -> list[Span]:
    """Split a text into sentences, none of them longer than `LONGEST` characters.

    Args:
        text: Any text.

    Returns:
        Start and end of every sentence, in order, without overlap and without outer spaces.
    """
    at = heapq.merge(_find_stops(text), _find_line_breaks(text))
    return [
        piece for part in _split_span(text, (0, len(text)), at) for piece in _split_long(text, part)
    ]
