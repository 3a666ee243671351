"""Lines of a page with their places: built from fragments, rid of running headers and footers.

Knows no parser. A place is the distance of a line from the page's upper edge, as a share of the
page's height.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pace_integrations.documents.formats.clean import clean_characters

# Text in the outer part of a page is a header or a footer if other pages have it there too.
_MARGIN = 0.2
_PLACES = 50
_FEWEST = 3
_SHARE = 0.6
_MOST_NUMBERS = 12
_STEP = 0.9
_BACK = 2.0  # letters' heights; an accent goes back to its letter by less
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_LEVEL = 0.2
_NUMBER = re.compile(r"\d+")
_SENTENCE = re.compile(r"(\S+\s+){4,}\S+[.!?]$")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes:
        text: The words.
        top: Distance from the page's upper edge, 0 to 1; None where it is not known.
    """

    text: str
    top: float | None = None


@dataclass(frozen=True, slots=True)
class Fragment:
    """Text that a parser found in one piece; line ends in it are line ends of the page.

    Attributes:
        text: The text.
        top: Distance of its start from the page's upper edge, 0 to 1, or None.
        size: Height of its letters as a share of the page's height.
        left: Distance of its start from the page's left edge, in heights of the page, or None.
    """

    text: str
    top: float | None
    size: float
    left: float | None = None


def lines_of(fragments: Iterable[Fragment]) -> list[Line]:
    """Puts fragments together to lines; what stands lower or higher is another line.

    Parsers now and then put a footer behind the last line of the body without a line end, or one
    between the cells of a table's row.
    """
    lines: list[Line] = []
    row: list[Fragment] = []
    ends = 0

    def end(times: int) -> None:
        for _ in range(times):
            lines.append(_line(row))
            row.clear()

    for fragment in fragments:
        for number, text in enumerate(fragment.text.split("\n")):
            ends += number > 0
            if text.strip():
                last = next((part for part in reversed(row) if part.text.strip()), None)
                if last is not None and ends == 1 and _is_beside(fragment, last):
                    row.append(Fragment(" ", None, 0.0))
                elif last is not None and ends == 0 and _is_elsewhere(fragment, last, row):
                    end(1)
                else:
                    end(ends)
                ends = 0
            if ends == 0:
                row.append(replace(fragment, text=text))
    end(ends + 1)
    return lines


def _top(row: Sequence[Fragment]) -> float | None:
    return next((part.top for part in row if part.text.strip()), None)


def _line(row: Sequence[Fragment]) -> Line:
    """A row as text. Cells of a table that a program drew from right to left are put right."""
    cells: list[tuple[float, str]] = []
    for part in row:
        text, left = part.text, part.left or 0.0
        if not cells or (text.strip() and _goes_back(part, cells[-1][0])):
            cells.append((left, text))
        else:  # what is blank has no place of its own
            start, before = cells[-1]
            cells[-1] = (start if before.strip() else left, before + text)
    joint = ""
    if len(cells) > 1 and not any(_RIGHT_TO_LEFT.search(text) for _, text in cells):
        cells.sort(key=lambda cell: cell[0])
        joint = " "
    return Line(joint.join(text for _, text in cells), _top(row))


def _goes_back(fragment: Fragment, left: float) -> bool:
    return (fragment.left or 0.0) < left - _BACK * fragment.size


def _is_beside(fragment: Fragment, last: Fragment) -> bool:
    """Tells whether a fragment stands at the height of the one before."""
    if fragment.top is None or last.top is None:
        return False
    apart = abs((fragment.left or 0.0) - (last.left or 0.0))
    return abs(fragment.top - last.top) < _LEVEL * fragment.size and apart > fragment.size


def _is_elsewhere(fragment: Fragment, last: Fragment, row: Sequence[Fragment]) -> bool:
    top = _top(row)
    if top is None or fragment.top is None:
        return False
    step = _STEP / 2 if _goes_back(fragment, last.left or 0.0) else _STEP
    return abs(fragment.top - top) > step * fragment.size


def _signatures(line: Line, index: int) -> Iterator[str]:
    """What lines on different pages share if they are the same: words, place, page numbers.

    Any of the numbers may count the pages, so there are several.
    """
    assert line.top is not None
    text = clean_characters(line.text)
    numbers = _NUMBER.findall(text)
    words = _NUMBER.sub("\0", text)
    place = round(line.top * _PLACES)
    yield f"{place}\0{text}"
    if not numbers or len(numbers) > _MOST_NUMBERS or _SENTENCE.match(text):
        return
    for position, number in enumerate(numbers):
        if len(number) < 9:
            counted = [*numbers[:position], f"+{int(number) - index}", *numbers[position + 1 :]]
            yield f"{place}\0{words}\0{' '.join(counted)}"


def _edges(lines: Sequence[Line]) -> tuple[list[int], list[int]]:
    """Numbers of the lines in the upper and in the lower margin, from the edge inwards."""
    placed = [(line.top, number) for number, line in enumerate(lines) if line.top is not None]
    placed = [(top, number) for top, number in placed if lines[number].text.strip()]
    above = [number for top, number in sorted(placed) if top < _MARGIN]
    below = [number for top, number in sorted(placed, reverse=True) if top > 1 - _MARGIN]
    return above, below


class RunningLines:
    """The headers and footers that a document repeats. All pages are shown to it first."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._pages = 0

    def see(self, lines: Sequence[Line], index: int) -> None:
        """Counts what stands in the margins of the page with a 1-based index."""
        self._pages += 1
        margins = itertools.chain(*_edges(lines))
        self._counts.update({s for number in margins for s in _signatures(lines[number], index)})

    def _is_running(self, line: Line, index: int) -> bool:
        count = max(self._counts[signature] for signature in _signatures(line, index))
        return count >= _FEWEST or (count > 1 and count >= _SHARE * self._pages)

    def _peeled(self, lines: Sequence[Line], margin: Sequence[int], index: int) -> list[int]:
        """The running lines of a margin, from the edge to the first line that is none."""
        running = itertools.takewhile(lambda number: self._is_running(lines[number], index), margin)
        return sorted(running)

    def part(self, lines: Sequence[Line], index: int) -> tuple[str, str | None, str | None]:
        """Parts a page into its own text, the running header and the running footer.

        A page that has nothing else keeps them as its text.
        """
        above, below = (self._peeled(lines, margin, index) for margin in _edges(lines))
        left = {*range(len(lines))} - {*above, *below}
        if not any(lines[number].text.strip() for number in left):
            return "\n".join(line.text for line in lines), None, None
        body = "\n".join(lines[number].text for number in sorted(left))
        return body, _joined(lines, above), _joined(lines, below)


def _joined(lines: Sequence[Line], numbers: Sequence[int]) -> str | None:
    """Lines as one, in the order of the page."""
    return " ".join(clean_characters(lines[number].text) for number in numbers) or None
