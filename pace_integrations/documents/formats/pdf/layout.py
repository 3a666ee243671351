"""Reading order of a page: from words with places to lines in the order a person reads them.

Knows no parser. The order in which a program drew the words is kept where it makes sense on the
page, since only the program knows what a cell or a caption is. It is mended where it does not:
columns drawn row by row or the right one first, tables drawn column by column, rows drawn from the
right, headers drawn last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from pace_integrations.documents.formats.pdf.chunks import (
    Chunk,
    Word,
    build_chunks,
    is_right_to_left,
    is_symbol,
)
from pace_integrations.documents.formats.pdf.columns import is_prose, split_columns
from pace_integrations.documents.formats.pdf.vertical import take_vertical
from pace_integrations.documents.formats.running_lines import Line

_MAX_BLOCKS = 60
_LEADING = re.compile(r"^\W+")
_SORTED = 8  # words whose order is hardly chance
_INITIALS = 20  # the same, of first letters
_TALL = 1.5

Row: TypeAlias = list[Chunk]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(slots=True)
class _Block:
    """Rows that were drawn one after the other from top to bottom."""

    rows: list[Row] = field(default_factory=list)

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for row in self.rows for chunk in row]

    @property
    def box(self) -> Box:
        chunks = self.chunks
        return (
            min(c.left for c in chunks),
            min(c.top for c in chunks),
            max(c.right for c in chunks),
            max(c.bottom for c in chunks),
        )


def _same_row(row: Row, chunk: Chunk) -> bool:
    near = [c for c in row[-2:] if _is_level(c, chunk)]
    if near and max(c.height for c in near) > _TALL * min(c.height for c in row):
        texts = [c for c in row if not is_symbol(c.text)][-2:]
        return not texts or any(_is_level(c, chunk) for c in texts)
    return bool(near)


def _is_level(a: Chunk, b: Chunk) -> bool:
    top = a.top if a.top > b.top else b.top
    bottom = a.bottom if a.bottom < b.bottom else b.bottom
    return bottom - top > 0.5 * (a.height if a.height < b.height else b.height)


def _build_blocks(chunks: Sequence[Chunk]) -> list[_Block]:
    """Split the drawing order where it goes back up, or down to a place beside all before."""
    blocks: list[_Block] = []
    for chunk in chunks:
        block = blocks[-1] if blocks else None
        if block is None:
            blocks.append(_Block([[chunk]]))
        elif _same_row(block.rows[-1], chunk):
            block.rows[-1].append(chunk)
        elif chunk.middle < min(c.top for c in block.rows[-1]):
            blocks.append(_Block([[chunk]]))
        else:
            block.rows.append([chunk])
    return blocks


def _merge_table(first: _Block, second: _Block) -> _Block | None:
    """Return two blocks that are columns of a table as rows, or None where they are none."""
    a, b = first.box, second.box
    top, bottom = max(a[1], b[1]), min(a[3], b[3])
    upper = [row for row in first.rows if top <= row[0].middle <= bottom]
    lower = [row for row in second.rows if top <= row[0].middle <= bottom]
    if len(upper) < 3 or len(lower) < 3:
        return None
    pairs = [
        (row, other)
        for other in lower
        for row in upper
        if abs(row[0].middle - other[0].middle) < 0.35 * max(row[0].height, other[0].height)
        and (row[-1].right <= other[0].left or other[-1].right <= row[0].left)
    ]
    if len(pairs) < 0.9 * len(lower) or len({id(row) for row, _ in pairs}) < 0.9 * len(upper):
        return None
    cells = [c for row in (*upper, *lower) for c in row]
    if _are_line_numbers(upper) or _are_line_numbers(lower):
        return None
    if (_are_entries(upper) and _are_entries(lower)) or _are_sorted([*upper, *lower]):
        return None
    if all(_are_sorted(rows, _INITIALS, 1) for rows in (upper, lower)):
        return None
    if is_prose([row[0] for row in upper]) or sum(c.words for c in cells) > 2.5 * len(cells):
        return None
    for row, other in pairs:
        row.extend(other)
    merged = {id(other) for _, other in pairs}
    left = [row for row in second.rows if id(row) not in merged]
    rows = sorted([*first.rows, *left], key=lambda row: row[0].middle)
    return _Block(rows)


def _are_entries(rows: Sequence[Row]) -> bool:
    """Tell whether rows are those of an index: each has its words and its numbers."""
    texts = ["".join(chunk.text for chunk in row) for row in rows]
    mixed = sum(
        any(char.isalpha() for char in text) and any(char.isdigit() for char in text)
        for text in texts
    )
    return 2 * mixed >= len(texts)


def _are_sorted(rows: Sequence[Row], fewest: int = _SORTED, letters: int | None = None) -> bool:
    """Tell whether rows are words in the order of the alphabet, as those of a list in columns.

    Args:
        rows: The rows.
        fewest: How many make a list.
        letters: How many of their letters are looked at, None for all.
    """
    texts = (_LEADING.sub("", row[0].text.casefold())[:letters] for row in rows)
    words = [text for text in texts if text[:1].isalpha()]
    if len(words) < max(fewest, 0.9 * len(rows)):
        return False
    return sum(a <= b for a, b in pairwise(words)) >= 0.8 * (len(words) - 1)


def _are_line_numbers(rows: Sequence[Row]) -> bool:
    """Tell whether rows only count the lines beside them, as those of a transcript."""
    texts = [row[0].text for row in rows if len(row) == 1]
    if len(texts) < max(5, len(rows)) or not all(text.isdigit() for text in texts):
        return False
    numbers = [int(text) for text in texts]
    return all(b - a == numbers[1] - numbers[0] > 0 for a, b in pairwise(numbers))


def _precedes(a: _Block, b: _Block, box: Box, second: Box) -> bool:
    """Tell whether a block is read before another, whatever the order of drawing.

    What stands above is, if it stands over the other one; of two columns of prose the left one.

    Args:
        a: The block.
        b: The other one.
        box: The place of the block.
        second: That of the other one.
    """
    (left, upper, right, bottom), (other, top, end, lower) = box, second
    height = a.rows[0][0].height
    if bottom <= top + 0.3 * height:
        return left < end and other < right
    if lower <= upper + 0.3 * height or right > other + 0.3 * height:
        return False
    prose = is_prose(a.chunks) and is_prose(b.chunks)
    return prose and not is_right_to_left(a.rows[0][0].text)


def _order_blocks(blocks: list[_Block]) -> list[_Block]:
    """Return blocks in reading order; the drawing order decides where the page does not."""
    if len(blocks) > _MAX_BLOCKS:
        return blocks
    merged: list[_Block] = []
    for block in blocks:
        table = _merge_table(merged[-1], block) if merged else None
        if table is not None:
            merged[-1] = table
        else:
            merged.append(block)
    ordered: list[_Block] = []
    placed = [(block, block.box) for block in merged]
    before = {
        id(b): {id(a) for a, box in placed if a is not b and _precedes(a, b, box, second)}
        for b, second in placed
    }
    while merged:
        free = next((b for b in merged if not before[id(b)]), merged[0])
        merged = [b for b in merged if b is not free]
        for others in before.values():
            others.discard(id(free))
        ordered.append(free)
    return ordered


def order_chunks(chunks: Sequence[Chunk]) -> list[Row]:
    """Return the chunks of a page as rows in reading order."""
    columns = split_columns(chunks)
    if columns is not None:
        return [row for column in columns for row in order_chunks(column)]
    blocks = _build_blocks(chunks)
    if len(blocks) > 1:
        blocks = _order_blocks(blocks)
    return [row for block in blocks for row in block.rows]


def build_lines(words: Iterable[Word], height: float) -> list[Line]:
    """Return the lines of a page in reading order.

    Args:
        words: The words in the order in which they were drawn.
        height: The page's height, in the words' unit.
    """
    columns, others = take_vertical(words)
    lines = [Line(w.text, round(w.top / height, 4), (), 0.0) for w in columns]
    for row in order_chunks(build_chunks(others)):
        if len(row) > 1:
            backwards = is_right_to_left("".join(chunk.text for chunk in row))
            row = sorted(row, key=lambda chunk: chunk.left, reverse=backwards)
        cells = tuple(round(c.left / height, 4) for c in row) if len(row) > 1 else ()
        text = " ".join(chunk.text for chunk in row)
        size = max(chunk.height for chunk in row) / height
        top = min(chunk.top for chunk in row) / height
        lines.append(Line(text, round(top, 4), cells, round(size, 4)))
    return lines
