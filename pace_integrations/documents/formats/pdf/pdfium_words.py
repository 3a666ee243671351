"""Words of a page by PDFium, with their places, its known faults mended."""

from __future__ import annotations

import ctypes
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, TypeAlias

import pypdfium2

from pace_integrations.documents.formats.clean import raise_text
from pace_integrations.documents.formats.pdf.accents import Box, join_accents
from pace_integrations.documents.formats.pdf.chunks import RIGHT_TO_LEFT

raw: Any = pypdfium2.raw

_find_box = raw.FPDFText_GetLooseCharBox

Advances: TypeAlias = defaultdict[int, dict[str, float]]

# What PDFium writes for a hyphen at a line's end that it takes for a broken word's.
_BROKEN = "\ufffe\x02"
_WORD = re.compile(rf"[^\s{_BROKEN}]+[{_BROKEN}]?|[{_BROKEN}]")
_ARABIC = re.compile("[\u0590-\u08ff]{3,}")
_DIGIT = re.compile(r"\d")
_GAP = 0.17  # letters' heights between two words or cells
_SLACK = 0.08  # letters' heights that a word may be wider than its letters at their least
_LONE_GAP = 0.4  # the same, where a word has but one gap
_SPREAD = 0.6  # even gaps below it are those of a spaced number
_OVERHANG = 0.25  # letters' heights that a slanted letter may reach into the space before it
_FAR = 1e9
_SMALL = 0.86
_TALL = 1.3
_RAISED = 0.12


class Letters:
    """The characters of a text page and their boxes.

    Attributes:
        text: The characters, one for each index.
        handle: PDFium's text page.

    Args:
        text: The text page.
        advances: The least width of every character by the height of its font, as far as the pages
            before have shown it; it grows.
    """

    def __init__(self, text: pypdfium2.PdfTextPage, advances: Advances) -> None:
        self.handle = text.raw
        self.count = int(text.count_chars())
        whole = text.get_text_range() if self.count else ""
        self.text = whole if len(whole) == self.count else self._read_one_by_one()
        self._advances = advances
        self._rect = raw.FS_RECTF()
        self._pointer = ctypes.byref(self._rect)
        if not self.text.isascii() or "`" in self.text:
            self.text = join_accents(self.text, self.box)

    def _read_one_by_one(self) -> str:
        """Return one character for each index; the text as a whole may have more or fewer."""
        codes = (raw.FPDFText_GetUnicode(self.handle, index) for index in range(self.count))
        return "".join(chr(c) if 0 < c < 0xD800 or 0xDFFF < c < 0x110000 else " " for c in codes)

    def blank(self, spans: Sequence[tuple[int, int]]) -> None:
        """Put spaces in the place of some characters."""
        for start, end in spans:
            self.text = f"{self.text[:start]}{' ' * (end - start)}{self.text[end:]}"

    def box(self, index: int) -> Box:
        """Return left, bottom, right and top of a character, in points of the page."""
        _find_box(self.handle, index, self._pointer)
        rect = self._rect
        return rect.left, rect.bottom, rect.right, rect.top

    def learn_advance(self, char: str, box: Box) -> dict[str, float]:
        """Keep the least width of a character; return the widths that are known of its font."""
        left, bottom, right, top = box
        widths = self._advances[round(top - bottom)]
        if right - left < widths.get(char, _FAR):
            widths[char] = right - left
        return widths

    def quarters(self, index: int) -> int:
        """Return how far a character is turned, in quarters counterclockwise."""
        angle = raw.FPDFText_GetCharAngle(self.handle, index)
        return round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0

    def origin(self, index: int) -> tuple[float, float]:
        """Return the place where a character begins on its line; its box may overhang it."""
        x, y = ctypes.c_double(), ctypes.c_double()
        raw.FPDFText_GetCharOrigin(self.handle, index, ctypes.byref(x), ctypes.byref(y))
        return x.value, y.value


@dataclass(slots=True)
class Piece:
    """A word, or a part of one, and its box in points of the page."""

    text: str
    box: Box
    space: bool
    turned: int = 0  # quarters counterclockwise


@dataclass(slots=True)
class _Doubtful:
    """A word that may be several."""

    word: str
    start: int
    boxes: list[Box]
    space: bool

    @property
    def height(self) -> float:
        return max(box[3] - box[1] for box in self.boxes)

    @property
    def gaps(self) -> list[float]:
        if self.boxes[-1][0] < self.boxes[0][0] and RIGHT_TO_LEFT.search(self.word):
            return [a[0] - b[2] for a, b in pairwise(self.boxes)]
        return [b[0] - a[2] for a, b in pairwise(self.boxes)]


def find_pieces(letters: Letters) -> list[Piece]:
    """Return the words of a page, those that PDFium glued together parted."""
    found = list(_find_words(letters))
    # Letters of a spaced font stand apart as a rule; what is wider than that parts words.
    usual: dict[int, list[float]] = {}
    for item in found:
        if isinstance(item, _Doubtful):
            usual.setdefault(round(item.height), []).extend(item.gaps)
    rules = {height: max(0.0, median(gaps)) for height, gaps in usual.items() if gaps}
    pieces: list[Piece] = []
    for item in found:
        if isinstance(item, _Doubtful):
            pieces += _split_word(letters, item, rules.get(round(item.height), 0.0))
        else:
            pieces.append(item)
    return pieces


def _find_words(letters: Letters) -> Iterator[Piece | _Doubtful]:
    text, end, find_box, learn = letters.text, -1, letters.box, letters.learn_advance
    right = -_FAR
    for match in _WORD.finditer(text):
        start, stop = match.span()
        word, space = match[0], start > end
        end = stop
        if word[-1] in _BROKEN:
            word = word[:-1] + "-"
        first = find_box(start)
        if len(word) == 1:
            right = first[2]
            yield Piece(word, first, space, letters.quarters(start))
            continue
        last = find_box(stop - 1)
        learn(text[stop - 1], last)
        widths = learn(text[start], first)
        level = first[1] == last[1] and first[3] == last[3] and first[0] < last[0]
        turn = 0 if level else _find_turn(letters, start, first, last)
        reach = _OVERHANG * (first[3] - first[1])
        if space and not turn and -reach < first[0] - right < 0.4 * reach:
            first = (max(first[0], letters.origin(start)[0]), *first[1:])  # a slanted f
        right = last[2]
        if turn:
            yield Piece(word, _unite(first, last), space, turn)
        elif _is_suspicious(text[start:stop], widths, first, last):
            boxes = [first, *(find_box(place) for place in range(start + 1, stop))]
            for char, box in zip(word[1:], boxes[1:], strict=True):
                learn(char, box)
            yield _Doubtful(word, start, boxes, space)
        elif level:
            yield Piece(word, (first[0], first[1], last[2], last[3]), space)
        else:
            yield Piece(word, _unite(first, last), space)


def _unite(a: Box, b: Box) -> Box:
    return (
        a[0] if a[0] < b[0] else b[0],
        a[1] if a[1] < b[1] else b[1],
        a[2] if a[2] > b[2] else b[2],
        a[3] if a[3] > b[3] else b[3],
    )


def _find_turn(letters: Letters, start: int, first: Box, last: Box) -> int:
    """Return the direction in which a word runs, in quarters counterclockwise."""
    across, up = last[0] + last[2] - first[0] - first[2], last[1] + last[3] - first[1] - first[3]
    if across > abs(up):
        return 0
    # Letters below each other may be a column of digits, and Arabic runs backwards.
    quarters = letters.quarters(start)
    if quarters % 2:
        return 1 if up > 0 else 3
    return 2 if quarters == 2 and across < 0 else 0


def _is_suspicious(word: str, widths: Mapping[str, float], first: Box, last: Box) -> bool:
    """Tell whether a word may be several: a step, or more width than its letters have.

    Digits may also be raised, which makes them smaller and the word less wide.

    Args:
        word: The word.
        widths: The least width of the letters of its font that are known yet.
        first: The box of its first letter.
        last: That of its last one.
    """
    height = first[3] - first[1]
    if abs(first[1] - last[1]) > 0.1 * height or last[0] < first[0]:
        return True
    try:
        wider = last[2] - first[0] - sum(map(widths.__getitem__, word))
    except KeyError:
        return True
    return wider > _SLACK * height or (wider < -_SLACK * height and bool(_DIGIT.search(word)))


def _split_word(letters: Letters, doubtful: _Doubtful, usual: float) -> Iterator[Piece]:
    """Yield the parts of a word that stand apart, and mark digits that are raised."""
    word, start, boxes = doubtful.word, doubtful.start, doubtful.boxes
    space, gaps, height = doubtful.space, doubtful.gaps, doubtful.height
    heights = [box[3] - box[1] for box in boxes]
    uneven = min(heights) < _SMALL * height
    lines = [letters.origin(start + n)[1] for n in range(len(word))] if uneven else []
    # Gaps that are all alike are those of a spaced font, and one alone may be.
    inner = [g for n, g in enumerate(gaps, 1) if word[n].isalnum() and word[n - 1].isalnum()]
    even = (
        len(inner) > 1 and max(inner) - min(inner) < 0.1 * height and max(inner) < _SPREAD * height
    )
    least = _GAP if len(inner) > 1 else _LONE_GAP
    widest = least * height + min(usual, _SPREAD * height)
    part, box = word[0], boxes[0]
    for n in range(1, len(word)):
        here, gap = boxes[n], gaps[n - 1]
        level = min(box[3], here[3]) - max(box[1], here[1]) > 0.4 * min(heights[n], height)
        apart = gap > widest and not even and _parts_words(word, n)
        if not level or apart or gap < -height:
            yield Piece(part, box, space, 0)
            part, box, space = word[n], here, True
            continue
        box = _add_letter(part, box, word[n], here)
        raised = uneven and word[n].isdigit() and _is_raised(n, heights, lines)
        above = uneven and word[n - 1].isdigit() and _is_raised(n - 1, heights, lines)
        if raised and not above:
            part += raise_text(part, word[n])
        elif above and not raised and word[n].isalpha() and part.isdigit():
            part += f" {word[n]}"  # the mark of a note, and the note
        else:
            part += word[n]
    yield Piece(part, box, space, 0)


def _add_letter(part: str, box: Box, letter: str, here: Box) -> Box:
    """Return the box of a part of a word with one letter more.

    Symbols are often of fonts with high boxes, which say nothing of the line: letters do.
    """
    left, right = min(box[0], here[0]), max(box[2], here[2])
    if here[3] - here[1] > _TALL * (box[3] - box[1]) and not letter.isalnum():
        return left, box[1], right, box[3]
    if box[3] - box[1] > _TALL * (here[3] - here[1]) and not any(map(str.isalnum, part)):
        return left, here[1], right, here[3]
    return left, min(box[1], here[1]), right, max(box[3], here[3])


def _parts_words(word: str, place: int) -> bool:
    """Tell whether a gap in a word may part two: between digits, or letters of a long word."""
    before, after = word[place - 1], word[place]
    return before.isdigit() or after.isdigit() or (len(word) > 2 and before.isalnum())


def _is_raised(n: int, heights: Sequence[float], lines: Sequence[float]) -> bool:
    """Tell whether a character is smaller than the largest of its word and stands above it."""
    largest = max(range(len(heights)), key=heights.__getitem__)
    return (
        heights[n] < _SMALL * heights[largest]
        and lines[n] - lines[largest] > _RAISED * heights[largest]
    )


def has_stacked_letters(letters: Letters) -> bool:
    """Tell whether several Arabic letters stand for one glyph; PDFium turns their order around."""
    for match in _ARABIC.finditer(letters.text):
        boxes = [letters.box(index) for index in range(*match.span())]
        if any(a == b == c for a, b, c in zip(boxes, boxes[1:], boxes[2:], strict=False)):
            return True
    return False
