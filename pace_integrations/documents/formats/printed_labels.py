"""Page numbers that are printed in headers and footers, for files that define no labels."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pace_integrations.documents.formats.clean import clean_characters, format_number
from pace_integrations.documents.formats.running_lines import FOLIO, Line, margin_lines

_EDGE_NUMBER = re.compile(
    r"^(\d{1,4})(?=\s+\D)|(?<=\D\s)(\d{1,4})$|page\s+(\d{1,4})", re.IGNORECASE
)
_STYLES = {"arabic": "1", "roman": "i", "ROMAN": "I"}
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


def _parse_folio(text: str) -> tuple[str, int] | None:
    """Return the style and the value of a printed page number."""
    if text.isdigit():
        return "arabic", int(text)
    values = [_ROMAN[char] for char in text.lower()]
    signed = [-a if a < b else a for a, b in itertools.pairwise([*values, 0])]
    total = sum(signed)
    return ("roman" if text.islower() else "ROMAN", total) if total > 0 else None


def _printed_numbers(lines: Sequence[Line]) -> set[tuple[str, int, bool]]:
    """Return styles, values and whether they stand alone, of the numbers in a page's margins."""
    found: set[tuple[str, int, bool]] = set()
    for number in {n for margin in margin_lines(lines) for n in margin[:3]}:
        text = " ".join(clean_characters(lines[number].text).split())
        alone = FOLIO.fullmatch(text)
        if alone:
            folio = _parse_folio(alone[1])
            found |= {(*folio, True)} if folio else set()
        elif len(text) < 120:
            values = (group for match in _EDGE_NUMBER.findall(text) for group in match if group)
            found |= {("arabic", int(value), False) for value in values}
    return found


def find_printed_labels(pages: Mapping[int, Sequence[Line]]) -> dict[int, str]:
    """Return the page numbers that are printed in headers and footers, by index.

    A number is one of a page if it counts on over pages: alone on its line on two of them, or at
    the edge of a line on three. Pages between two of a run have theirs although it is not printed.
    """
    runs: dict[tuple[str, int], dict[int, bool]] = defaultdict(dict)
    for index, lines in pages.items():
        for style, value, alone in _printed_numbers(lines):
            run = runs[style, value - index]
            run[index] = run.get(index, False) or alone
    kept = {
        key: run
        for key, run in runs.items()
        if len(run) >= 3 or (len(run) == 2 and all(run.values()))
    }
    labels: dict[int, str] = {}
    # Of several that count, the one on most pages; then that which says least of itself.
    order = sorted(kept.items(), key=lambda item: (-len(item[1]), abs(item[0][1]), item[0]))
    for (style, offset), run in order:
        for index in range(min(run), max(run) + 1):
            if index not in labels and index + offset > 0:
                labels[index] = format_number(index + offset, _STYLES[style])
    return labels
