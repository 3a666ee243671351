"""Columns of prose on a page, and the order in which they are read."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from statistics import median

from pace_integrations.documents.formats.pdf.chunks import Chunk

_MIN_LINES = 4
_MIN_WORDS = 3
_MAX_COLUMNS = 4
_TWO = 1.6  # widths of a column that two take at the least
_LOW_STARTS = 0.35
_BINS = 200


def is_prose(chunks: Sequence[Chunk]) -> bool:
    """Tell whether lines are those of running text that fills a column."""
    if len(chunks) < _MIN_LINES:
        return False
    if sum(c.words >= _MIN_WORDS for c in chunks) < 0.6 * len(chunks):
        return False
    if sum(c.text[:1].islower() for c in chunks) < _LOW_STARTS * len(chunks):
        return False
    return median(c.right - c.left for c in chunks) >= 0.6 * _width(chunks)


def _find_gutters(chunks: Sequence[Chunk]) -> Iterator[float]:
    """Yield the places that few lines cross, the least crossed and most central first."""
    left, right = min(c.left for c in chunks), max(c.right for c in chunks)
    step = (right - left) / _BINS
    if step <= 0:
        return
    crossed = [0] * (_BINS + 1)
    for chunk in chunks:
        first, last = int((chunk.left - left) / step), int((chunk.right - left) / step)
        for place in range(first, last + 1):
            crossed[place] += 1
    most = 0.2 * len(chunks)
    places = [b for b in range(_BINS // 6, _BINS - _BINS // 6) if crossed[b] <= most]
    places.sort(key=lambda b: (crossed[b], abs(b - _BINS // 2)))
    for place in places[:12:3]:
        yield left + (place + 0.5) * step


def _width(chunks: Sequence[Chunk]) -> float:
    return max(c.right for c in chunks) - min(c.left for c in chunks) if chunks else 0.0


def _has_columns(chunks: Sequence[Chunk], depth: int = 1) -> bool:
    """Tell whether lines are those of several columns of prose."""
    if len(chunks) < 2 * _MIN_LINES or depth > _MAX_COLUMNS:
        return False
    for gutter in _find_gutters(chunks):
        left = [c for c in chunks if c.right <= gutter]
        right = [c for c in chunks if c.left >= gutter]
        if is_prose(left) and (is_prose(right) or _has_columns(right, depth + 1)):
            return True
    return False


def split_columns(chunks: Sequence[Chunk]) -> list[list[Chunk]] | None:
    """Return the columns of prose of a page in their order, or None where there are none.

    What crosses the gutter (a title, a wide table) parts the page into bands, each with columns.
    """
    if len(chunks) < 2 * _MIN_LINES:
        return None
    for gutter in _find_gutters(chunks):
        sides = [
            [c for c in chunks if c.right <= gutter],
            [c for c in chunks if c.left >= gutter],
        ]
        if min(map(len, sides)) < _MIN_LINES:
            continue
        prose = [is_prose(side) for side in sides]
        if not any(prose) or not all(
            prose[n] or (_width(sides[n]) > _TWO * _width(sides[1 - n]) and _has_columns(sides[n]))
            for n in (0, 1)
        ):
            continue
        if _drawn_in_order(chunks, gutter):
            return None
        return list(_split_bands(chunks, gutter))
    return None


def _drawn_in_order(chunks: Sequence[Chunk], gutter: float) -> bool:
    """Tell whether the left column was drawn before the right one, in every band of the page."""
    crossing = sorted(c.middle for c in chunks if c.left < gutter < c.right)
    sides: dict[int, tuple[list[int], list[int]]] = {}
    for place, chunk in enumerate(chunks):
        if not chunk.left < gutter < chunk.right:
            band = sides.setdefault(bisect(crossing, chunk.middle), ([], []))
            band[chunk.left >= gutter].append(place)
    pairs = sum(len(left) * len(right) for left, right in sides.values())
    late = sum(a > b for left, right in sides.values() for a in left for b in right)
    return late <= 0.3 * pairs


def _split_bands(chunks: Sequence[Chunk], gutter: float) -> Iterator[list[Chunk]]:
    crossing = sorted(
        (c for c in chunks if c.left < gutter < c.right), key=lambda chunk: chunk.middle
    )
    left, right = list[Chunk](), list[Chunk]()
    rest = [c for c in chunks if not c.left < gutter < c.right]
    for bound in [*crossing, None]:
        inside = [c for c in rest if bound is None or c.middle < bound.middle]
        rest = [c for c in rest if not any(c is other for other in inside)]
        left = [c for c in inside if c.right <= gutter]
        right = [c for c in inside if c.left >= gutter]
        yield from (part for part in (left, right) if part)
        if bound is not None:
            yield [bound]
