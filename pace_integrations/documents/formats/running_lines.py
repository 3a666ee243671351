"""Headers and footers that a document repeats: kept where they first stand, and once.

Knows no format. Places are shares of the page's height, from its upper edge.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pace_integrations.documents.formats.clean import clean_characters

# Text in the outer part of a page is a header or a footer if other pages have it there too.
_MARGIN = 0.2
_PLACES = 50
_FEWEST = 3
_SHARE = 0.6
_MAX_NUMBERS = 12
_NUMBER = re.compile(r"\d+")
_SENTENCE = re.compile(r"(\S+\s+){4,}\S+[.!?]$")

FOLIO = re.compile(
    r"[\W_]*(?:(?:page|seite|p\.|pag\.|page\s+n°)\s*)?(\d{1,4}|[ivxlc]{1,7})"
    r"(?:\s*(?:of|/|von|de|sur)\s*\d{1,4})?[\W_]*",
    re.IGNORECASE,
)
"""A line that is but the number of its page."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes:
        text: The words.
        top: Distance from the page's upper edge, 0 to 1; None where it is not known.
        cells: Distances of its cells from the left edge, where it has several (a table's row).
        size: Height of its letters as a share of the page's height.
    """

    text: str
    top: float | None = None
    cells: tuple[float, ...] = ()
    size: float = 0.0


def _line_signatures(line: Line, index: int) -> Iterator[str]:
    """Yield what lines on different pages share if they are the same: words, place, numbers.

    Any of the numbers may count the pages, so there are several.
    """
    assert line.top is not None
    text = clean_characters(line.text)
    numbers = _NUMBER.findall(text)
    words = _NUMBER.sub("\0", text)
    place = round(line.top * _PLACES)
    yield f"{place}\0{text}"
    if not numbers or len(numbers) > _MAX_NUMBERS or _SENTENCE.match(text):
        return
    for position, number in enumerate(numbers):
        if len(number) < 9:
            counted = [*numbers[:position], f"+{int(number) - index}", *numbers[position + 1 :]]
            yield f"{place}\0{words}\0{' '.join(counted)}"


def margin_lines(lines: Sequence[Line]) -> tuple[list[int], list[int]]:
    """Return the lines in the upper and in the lower margin by number, from the edge inwards."""
    placed = [(line.top, number) for number, line in enumerate(lines) if line.top is not None]
    placed = [(top, number) for top, number in placed if lines[number].text.strip()]
    above = [number for top, number in sorted(placed) if top < _MARGIN]
    below = [number for top, number in sorted(placed, reverse=True) if top > 1 - _MARGIN]
    return above, below


class RunningLines:
    """The headers and footers that a document repeats. All pages are shown to it first.

    A running line stays in the text of the first page that has it, and leaves the others.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._pages = 0

    def count_page(self, lines: Sequence[Line], index: int) -> None:
        """Count what stands in the margins of the page with a 1-based index."""
        self._pages += 1
        margins = itertools.chain(*margin_lines(lines))
        found = {s for number in margins for s in _line_signatures(lines[number], index)}
        self._counts.update(found)
        for signature in found:
            self._first.setdefault(signature, index)

    def _find_signature(self, line: Line, index: int) -> str | None:
        """Return the most frequent signature of a line that runs, or None."""
        best = max(_line_signatures(line, index), key=lambda s: self._counts[s])
        count = self._counts[best]
        runs = count >= _FEWEST or (count > 1 and count >= _SHARE * self._pages)
        return best if runs else None

    def _running(self, lines: Sequence[Line], margin: Sequence[int], index: int) -> dict[int, bool]:
        """Return the running lines of a margin, from the edge to the first line that is none.

        The value tells whether an earlier page shows the line already.
        """
        found: dict[int, bool] = {}
        for number in margin:
            signature = self._find_signature(lines[number], index)
            if signature is None:
                break
            found[number] = self._first[signature] < index
        return found

    def split_page(self, lines: Sequence[Line], index: int) -> tuple[str, str | None, str | None]:
        """Part a page into its own text, the running header and the running footer.

        A page that has nothing else keeps them as its text.
        """
        above, below = (self._running(lines, margin, index) for margin in margin_lines(lines))
        for number in sorted(above, reverse=True):
            if not _is_table_heading(lines, number):
                break
            del above[number]  # it belongs to the table below it, on every page
        running = {**above, **below}
        if not any(line.text.strip() for n, line in enumerate(lines) if n not in running):
            return "\n".join(line.text for line in lines), None, None
        # A line that is but the number of its page is said by the page's label.
        gone = {n for n, seen in running.items() if seen or FOLIO.fullmatch(lines[n].text.strip())}
        body = "\n".join(line.text for n, line in enumerate(lines) if n not in gone)
        upper, lower = ([n for n in sorted(part) if n in gone] for part in (above, below))
        return body, _join_lines(lines, upper), _join_lines(lines, lower)


def _is_table_heading(lines: Sequence[Line], number: int) -> bool:
    """Tell whether a line heads the row right below it: cells that stand over cells."""
    line = lines[number]
    if len(line.cells) < 2 or line.top is None:
        return False
    for below in lines[number + 1 :]:
        if below.top is None or below.top <= line.top:
            continue
        near = below.top - line.top < 3.5 * max(line.size, below.size)
        tolerance = 4 * max(line.size, below.size)
        under = sum(any(abs(a - b) < tolerance for b in below.cells) for a in line.cells)
        return near and len(below.cells) >= 2 and under >= 2
    return False


def _join_lines(lines: Sequence[Line], numbers: Sequence[int]) -> str | None:
    """Return lines as one, in the order of the page."""
    return " ".join(clean_characters(lines[number].text) for number in numbers) or None
