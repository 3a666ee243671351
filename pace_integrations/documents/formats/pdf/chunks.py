"""Words with places, and the chunks of lines that they make: a column's line, or a cell.

Knows no parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pace_integrations.documents.formats.clean import raise_text

RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

# All in heights of the letters.
_MAX_SPACE = 0.75  # between words of a chunk; more is the gap between cells or columns
_MAX_OVERLAP = 0.6
_GLUED = 0.15  # words nearer than this have no space between them
_NO_SPACE = 0.03
_RAISED = 0.2
_CLOSING = frozenset(".,;:)]")
_SMALL = 0.86


@dataclass(slots=True)
class Word:
    """A word and its place, with the origin at the page's upper left corner.

    Attributes:
        text: The word.
        left: Its sides; `top` is less than `bottom`.
        space: Whether the parser saw a space or a line end before it.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    space: bool = True

    @property
    def height(self) -> float:
        """Height of its letters."""
        return self.bottom - self.top


@dataclass(slots=True)
class Chunk:
    """Words of one line with no more than spaces between them: a line of a column, or a cell."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    height: float
    words: int = 1
    last: Word | None = None

    @property
    def middle(self) -> float:
        """Its middle from top to bottom."""
        return (self.top + self.bottom) / 2


def is_right_to_left(text: str) -> bool:
    """Tell whether most letters of a text are written from right to left."""
    if text.isascii():
        return False
    return 2 * len(RIGHT_TO_LEFT.findall(text)) > sum(char.isalpha() for char in text)


def _is_raised(word: Word, last: Word) -> bool:
    """Tell whether a word of digits is smaller than the one before and stands above its line."""
    small = word.height < _SMALL * last.height and word.text[0].isdigit()
    return small and last.bottom - word.bottom > _RAISED * last.height


def _is_torn(last: Word, word: Word, gap: float) -> bool:
    """Tell whether a parser saw a space inside a word, or before a comma, without room for one."""
    level = abs(last.bottom - word.bottom) < 0.02 * word.height
    within = word.text[0] in _CLOSING or (last.text[-1].islower() and word.text[0].islower())
    return within and level and abs(gap) < _NO_SPACE * word.height


def build_chunks(words: Iterable[Word]) -> list[Chunk]:
    """Put neighboring words of the drawing order together."""
    chunks: list[Chunk] = []
    for word in words:
        chunk = chunks[-1] if chunks else None
        last = chunk.last if chunk is not None else None
        if chunk is not None and last is not None and _follows(chunk, last, word):
            chunk.text += f" {word.text}"
            chunk.words += 1
            chunk.right, chunk.last = word.right, word
            continue
        if chunk is None or last is None or not _goes_on(chunk, word):
            box = (word.left, word.top, word.right, word.bottom)
            chunks.append(Chunk(word.text, *box, word.height, last=word))
            continue
        gap = max(word.left - chunk.right, chunk.left - word.right)
        # What is but symbols so far takes the height of what follows.
        bare = is_symbol(last.text) and is_symbol(chunk.text)
        raised = gap < _MAX_SPACE / 4 * last.height and _is_raised(word, last)
        if raised:
            chunk.text += raise_text(chunk.text, word.text)
        else:
            spaced = (
                gap > _GLUED * word.height
                or (word.space and not _is_torn(last, word, gap))
                or (chunk.text.isdigit() and _is_raised(last, word))
            )
            chunk.text += f" {word.text}" if spaced else word.text
            chunk.words += spaced
        chunk.left, chunk.right = min(chunk.left, word.left), max(chunk.right, word.right)
        if bare:
            chunk.top, chunk.bottom, chunk.height = word.top, word.bottom, word.height
            chunk.last = word
        elif word.height > _SMALL * chunk.height and not is_symbol(word.text):
            chunk.top, chunk.bottom = min(chunk.top, word.top), max(chunk.bottom, word.bottom)
            chunk.height = max(chunk.height, word.height)
            chunk.last = word
    return chunks


def is_symbol(text: str) -> bool:
    """Tell whether a text has neither letters nor digits.

    The boxes of roots, minus signs and corners of frames, from fonts of their own, may be twice
    as high as the line and tell nothing of its place.
    """
    return not any(map(str.isalnum, text))


def _follows(chunk: Chunk, last: Word, word: Word) -> bool:
    """Tell whether a word is the next one in the line of a chunk, as nearly all words are."""
    level = word.top == last.top and word.bottom == last.bottom
    gap = word.left - chunk.right
    return level and _GLUED * (word.bottom - word.top) < gap <= _MAX_SPACE * chunk.height


def _goes_on(chunk: Chunk, word: Word) -> bool:
    """Tell whether a word goes on the line of a chunk."""
    height = max(chunk.height, word.height)
    overlap = min(chunk.bottom, word.bottom) - max(chunk.top, word.top)
    if overlap < 0.5 * min(chunk.height, word.height):
        return False
    low, high = -_MAX_OVERLAP * height, _MAX_SPACE * height
    if low <= word.left - chunk.right <= high:
        return True
    if low <= chunk.left - word.right <= high:
        return bool(RIGHT_TO_LEFT.search(word.text) or RIGHT_TO_LEFT.search(chunk.text))
    return False
