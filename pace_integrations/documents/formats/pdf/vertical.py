"""Lines of Chinese, Japanese and Korean that run from top to bottom, the right one first.

Parsers give their characters one by one, each a word of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pace_integrations.documents.formats.pdf.chunks import Word
from pace_integrations.documents.formats.running_lines import Line

_IDEOGRAPH = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe4f\uff00-\uffef]{1,2}")
_FEWEST = 4  # characters below each other that make a line
_ASIDE = 0.4  # heights of a character
_STEP = 2.2


def is_ideograph(text: str) -> bool:
    """Tell whether a word is but a character or two of a script that may run downwards."""
    return _IDEOGRAPH.fullmatch(text) is not None


def take_vertical(words: Iterable[Word]) -> tuple[list[Word], list[Word]]:
    """Part the words of a page into those of lines that run downwards, joined, and the others.

    Args:
        words: The words in the order in which they were drawn.

    Returns:
        One word for each line, in reading order, and the words of other lines.
    """
    words = list(words)
    if sum("\u2e7f" < word.text[0] < "\uf000" for word in words) < _FEWEST:
        return [], words
    runs: list[list[Word]] = []
    for word in words:
        if runs and _is_below(runs[-1][-1], word):
            runs[-1].append(word)
        else:
            runs.append([word])
    lines = [_join(run) for run in runs if len(run) >= _FEWEST]
    others = [word for run in runs if len(run) < _FEWEST for word in run]
    return _order(lines), others


def _is_below(last: Word, word: Word) -> bool:
    size = max(last.height, word.height)
    aside = abs(last.left + last.right - word.left - word.right) / 2
    return (
        aside < _ASIDE * size
        and 0.4 * size < word.top - last.top < _STEP * size
        and is_ideograph(last.text)
        and is_ideograph(word.text)
    )


def _join(run: Sequence[Word]) -> Word:
    left, right = min(word.left for word in run), max(word.right for word in run)
    return Word("".join(w.text for w in run), left, run[0].top, right, run[-1].bottom)


def _order(lines: list[Word]) -> list[Word]:
    """Return lines in reading order: tier by tier from above, from the right in each."""
    ordered: list[Word] = []
    rest = sorted(lines, key=lambda line: line.top)
    while rest:
        bottom = rest[0].bottom
        tier = [line for line in rest if line.top < bottom]
        rest = [line for line in rest if line.top >= bottom]
        ordered += sorted(tier, key=lambda line: -line.right)
    return ordered


def join_single_lines(lines: Sequence[Line]) -> list[Line]:
    """Join lines of one character each that follow each other downwards."""
    runs: list[list[Line]] = []
    for line in lines:
        last = runs[-1][-1] if runs else None
        goes_on = (
            last is not None
            and last.top is not None
            and line.top is not None
            and 0 < line.top - last.top < _STEP * max(line.size, last.size)
            and is_ideograph(last.text.strip())
            and is_ideograph(line.text.strip())
        )
        if goes_on:
            runs[-1].append(line)
        else:
            runs.append([line])
    return [
        Line("".join(line.text.strip() for line in run), run[0].top, (), run[0].size)
        if len(run) >= _FEWEST
        else line
        for run in runs
        for line in (run[:1] if len(run) >= _FEWEST else run)
    ]
