"""How broken the text of a page looks: words torn apart or run together, unknown letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pace_integrations.documents.formats.running_lines import Line

_LEADERS = re.compile(r"(?:[.·_…-][^\S\n]+){2,}[.·_…-]?")
_LONE = re.compile(r"(?<!\S)(?:[^\W\d_aAIiOoyYuUeEàÀ\u2e80-\U0003ffff]|[.,:;])(?!\S)")
_OVERLONG = re.compile(r"(?<!\S)[A-Za-z]{31,}(?!\S)")
# Scripts without spaces, which engines put between their characters or not, do not count.
_LONG = re.compile(
    r"(?<![^\s\u2e80-\U0003ffff])[^\W\d_\u2e80-\U0003ffff]{4,}(?![^\s\u2e80-\U0003ffff])"
)
_MIN_TOKENS = 20


def rate_damage(lines: Sequence[Line]) -> float:
    """Return the share of a page's words that look broken, 0 to 1.

    Letters and separators that stand alone are words torn apart, overlong words are words run
    together, and what is no character is a font without a table.
    """
    # The dots that lead to the page numbers of a table of contents are no torn words.
    text = _LEADERS.sub(" ", "\n".join(line.text for line in lines))
    tokens = text.split()
    if len(tokens) < _MIN_TOKENS:
        letters = "".join(tokens)
        odd = sum(not char.isprintable() or char == "\ufffd" for char in letters)
        return odd / len(letters) if letters else 0.0
    bad = len(_LONE.findall(text)) + sum(len(token) / 8 for token in _OVERLONG.findall(text))
    if "\ufffd" in text or not "".join(tokens).isprintable():
        bad += sum(not token.isprintable() or "\ufffd" in token for token in tokens)
    return min(1.0, bad / len(tokens))


def count_letters(lines: Sequence[Line]) -> int:
    """Return how many letters stand in words of some length: torn words have fewer."""
    return sum(len(word) for line in lines for word in _LONG.findall(line.text))
