"""Lines of a page from the fragments that pypdf finds, which have a start and no end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pace_integrations.documents.formats.pdf.chunks import RIGHT_TO_LEFT
from pace_integrations.documents.formats.running_lines import Line

# Heights of the letters.
_STEP = 0.9
_BACK = 2.0  # an accent goes back to its letter by less
_LEVEL = 0.2


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


def build_fragment_lines(fragments: Iterable[Fragment]) -> list[Line]:
    """Put fragments together to lines; what stands lower or higher is another line.

    Parsers now and then put a footer behind the last line of the body without a line end, or one
    between the cells of a table's row.
    """
    lines: list[Line] = []
    row: list[Fragment] = []
    ends = 0

    def end(times: int) -> None:
        for _ in range(times):
            lines.append(_make_line(row))
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


def _row_top(row: Sequence[Fragment]) -> float | None:
    return next((part.top for part in row if part.text.strip()), None)


def _make_line(row: Sequence[Fragment]) -> Line:
    """Return a row as a line; cells that a program drew from right to left are put right."""
    cells: list[tuple[float, str]] = []
    for part in row:
        text, left = part.text, part.left or 0.0
        if not cells or (text.strip() and _goes_back(part, cells[-1][0])):
            cells.append((left, text))
        else:  # what is blank has no place of its own
            start, before = cells[-1]
            cells[-1] = (start if before.strip() else left, before + text)
    joint = ""
    if len(cells) > 1 and not any(RIGHT_TO_LEFT.search(text) for _, text in cells):
        cells.sort(key=lambda cell: cell[0])
        joint = " "
    places = tuple(round(left, 4) for left, text in cells if text.strip())
    size = max((part.size for part in row), default=0.0)
    text = joint.join(text for _, text in cells)
    return Line(text, _row_top(row), places if len(places) > 1 else (), size)


def _goes_back(fragment: Fragment, left: float) -> bool:
    return (fragment.left or 0.0) < left - _BACK * fragment.size


def _is_beside(fragment: Fragment, last: Fragment) -> bool:
    """Tell whether a fragment stands at the height of the one before."""
    if fragment.top is None or last.top is None:
        return False
    apart = abs((fragment.left or 0.0) - (last.left or 0.0))
    return abs(fragment.top - last.top) < _LEVEL * fragment.size and apart > fragment.size


def _is_elsewhere(fragment: Fragment, last: Fragment, row: Sequence[Fragment]) -> bool:
    top = _row_top(row)
    if top is None or fragment.top is None:
        return False
    step = _STEP / 2 if _goes_back(fragment, last.left or 0.0) else _STEP
    return abs(fragment.top - top) > step * fragment.size
