"""Accents that a program draws apart from their letters, as TeX does in its oldest fonts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TypeAlias

Box: TypeAlias = tuple[float, float, float, float]

_MARKS = dict(
    zip(
        "`\u00b4\u02c6\u02dc\u00a8\u02c7\u02d8\u00af\u02d9\u02da\u02dd\u00b8\u02db",
        "\u0300\u0301\u0302\u0303\u0308\u030c\u0306\u0304\u0307\u030a\u030b\u0327\u0328",
        strict=True,
    )
)
_ACCENT = re.compile(f"[{''.join(_MARKS)}]")
_DOTLESS = {"\u0131": "i", "\u0237": "j"}
_ASIDE = 0.05  # widths of a letter that the middle of its accent may stand beside it


def join_accents(text: str, get_box: Callable[[int], Box]) -> str:
    """Return a text of the same length with accents put on the letters that they stand over.

    The letter comes first and its mark after it, in two characters as before.

    Args:
        text: The characters of a page.
        get_box: Returns left, bottom, right and top of a character.
    """
    chars: list[str] | None = None
    for match in _ACCENT.finditer(text):
        place, mark = match.start(), _MARKS[match[0]]
        for other in (place + 1, place - 1):
            letter = text[other] if 0 <= other < len(text) else ""
            letter = _DOTLESS.get(letter, letter)
            known = letter.isalpha() and len(unicodedata.normalize("NFC", letter + mark)) == 1
            if not known or not _stands_over(get_box(place), get_box(other)):
                continue
            chars = list(text) if chars is None else chars
            first = min(place, other)
            chars[first : first + 2] = [letter, mark]
            break
    return text if chars is None else "".join(chars)


def _stands_over(accent: Box, letter: Box) -> bool:
    middle, width = (accent[0] + accent[2]) / 2, letter[2] - letter[0]
    return letter[0] - _ASIDE * width < middle < letter[2] + _ASIDE * width
