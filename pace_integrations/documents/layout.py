"""Lines of a page with their places: built from fragments, rid of running headers and footers.

Knows no parser. A place is the distance of a line from the page's upper edge, as a share of the
page's height.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pace_integrations.documents.clean import clean_characters

# Text in the outer part of a page is a header or a footer if other pages have it there too.
_MARGIN = 0.2
_PLACES = 50
_FEWEST = 3
_SHARE = 0.6
_MOST_NUMBERS = 12
_STEP = 0.9
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
    """

    text: str
    top: float | None
    size: float


def lines_of(fragments: Iterable[Fragment]) -> list[Line]:
    """Puts fragments together to lines; what stands lower or higher is another line.

    Parsers now and then put a footer behind the last line of the body without a line end.
    """
    lines: list[Line] = []
    words, top = list[str](), None

    def end() -> None:
        nonlocal top
        lines.append(Line("".join(words), top))
        words.clear()
        top = None

    for fragment in fragments:
        for number, part in enumerate(fragment.text.split("\n")):
            if number:
                end()
            if part.strip():
                if _is_elsewhere(fragment, top):
                    end()
                top = fragment.top if top is None else top
            words.append(part)
    end()
    return lines


def _is_elsewhere(fragment: Fragment, top: float | None) -> bool:
    if top is None or fragment.top is None:
        return False
    return abs(fragment.top - top) > _STEP * fragment.size


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
