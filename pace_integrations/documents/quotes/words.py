"""Words as they are compared between an answer and a page."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Numbers keep their inner separators: 1,250.50 and 14:30 are one word each.
_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_MARK = re.compile(r"\[\d+(?:\s*[,;–-]\s*\d+)*\]")
_THOUSANDS = re.compile(r"(?<=\d)[,.](?=\d{3}(?!\d))")
_ZERO_CENTS = re.compile(r"[.,]0{1,2}$")

_FUNCTION_WORDS = """
a an and are as at be been but by can could did do does for from had has have he her his how i if
in into is it its me my no nor not of on or our shall she should so such than that the their them
then there these they this those to was we were what when where which who whom whose why will with
would you your according answer document documents page passage passages says stated states text
"""


@lru_cache(maxsize=65_536)
def _key(word: str) -> str:
    if word[0].isdigit():
        return _ZERO_CENTS.sub("", _THOUSANDS.sub("", word)) or word
    word = word.replace("’", "'").removesuffix("'s")
    # A plural is the same thing as its singular; nothing more is stemmed.
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word


def word_keys(text: str) -> frozenset[str]:
    """The distinct words of a text, in the form in which they are compared."""
    folded = unicodedata.normalize("NFC", text.casefold())
    return frozenset(_key(word) for word in set(_WORD.findall(folded)))


def content_keys(text: str) -> frozenset[str]:
    """The words that carry the meaning of an answer or a question.

    Marks such as ``[3]`` are left out, and so are function words, unless there is nothing else.
    """
    keys = word_keys(_MARK.sub(" ", text))
    return (keys - _FUNCTION_KEYS) or keys


_FUNCTION_KEYS = word_keys(_FUNCTION_WORDS)
