"""Cuts a page into sentences that can be quoted."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]

LONGEST = 320

_STOP = re.compile(r"[.!?]+['\"”’)\]]*\s+|[。！？]+\s*|\n[ \t]*\n\s*")
_OPENING = re.compile(r"[\"“‘'(\[]*")
# A full stop after these, after a single letter and after the number of a paragraph ends nothing.
_ABBREVIATION = re.compile(
    r"(?:\b(?:[^\W\d_]|dr|mr|mrs|ms|prof|st|nos?|vs|etc|cf|fig|sec|art|approx|inc|ltd|co|jr|sr)"
    r"|\b[a-z]\.[a-z]|^\s*\d{1,3})\.\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_LINE = re.compile(r"\n")
_FULL = 0.8


def _starts_low(text: str, position: int) -> bool:
    """Tells whether what follows goes on with a small letter, as within a sentence."""
    opening = _OPENING.match(text, position)
    position = opening.end() if opening else position
    return text[position : position + 1].islower()


def _stops(text: str) -> Iterator[int]:
    """Where the next sentence begins after a full stop or a blank line."""
    for match in _STOP.finditer(text):
        if match[0][0] == "\n":
            yield match.end()
        elif not _starts_low(text, match.end()):
            first = max(0, match.start() - 8)
            # A tail that was cut must not look like the start of a line.
            tail = ("x" if first else "") + text[first : match.start() + 1]
            if not _ABBREVIATION.search(tail):
                yield match.end()


def _line_breaks(text: str) -> Iterator[int]:
    """Where a new line is a new statement (heading, list item, row), not wrapped prose."""
    breaks = [match.end() for match in _LINE.finditer(text)]
    low = [_starts_low(text, position) for position in breaks]
    wrapped = 2 * sum(low) >= len(low)
    lines = [b - a - 1 for a, b in pairwise([0, *breaks, len(text) + 1])]
    width = min(max(lines), LONGEST)
    for position, length, goes_on in zip(breaks, lines, low, strict=False):
        if not goes_on and (not wrapped or length < _FULL * width):
            yield position


def _cut(text: str, span: Span, at: Iterable[int]) -> list[Span]:
    """Cuts a span at ascending positions; parts lose their outer white space, blank ones go."""
    start, end = span
    spans = []
    for a, b in pairwise([start, *(position for position in at if start < position < end), end]):
        body = text[a:b]
        if body.strip():
            spans.append((a + len(body) - len(body.lstrip()), a + len(body.rstrip())))
    return spans


def _between_words(text: str, span: Span) -> Iterator[int]:
    """Where to cut what is still too long after all: at spaces, or anywhere if there are none."""
    position, end = span
    while end - position > LONGEST:
        space = text.rfind(" ", position + 1, position + LONGEST)
        position = space if space > 0 else position + LONGEST
        yield position


def _pieces(text: str, span: Span) -> list[Span]:
    """Cuts a sentence that is too long to quote at its lines, then between words."""
    if span[1] - span[0] <= LONGEST:
        return [span]
    lines = _cut(text, span, (match.end() for match in _LINE.finditer(text, *span)))
    return [piece for line in lines for piece in _cut(text, line, _between_words(text, line))]


def split_sentences(text: str) -> list[Span]:
    """Cuts a text into sentences, none of them longer than `LONGEST` characters.

    Args:
        text: Any text.

    Returns:
        Start and end of every sentence, in order, without overlap and without outer spaces.
    """
    at = heapq.merge(_stops(text), _line_breaks(text))
    return [piece for part in _cut(text, (0, len(text)), at) for piece in _pieces(text, part)]
