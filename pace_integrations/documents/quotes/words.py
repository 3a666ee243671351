"""Words as they are compared between an answer and a page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Numbers keep their inner separators: 1,250.50 and 14:30 are one word each. Thai vowel signs are
# marks, not letters, so runs of unspaced scripts come before words of letters.
_WORD = re.compile(
    rf"\d+(?:[.,:/-]\d+)*|[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W\d_])+"
    rf"(?:['’](?:(?![{_UNSPACED}])[^\W\d_])+)*"
)
_SPACED_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")  # the same, faster
_RUN = re.compile(rf"[{_UNSPACED}]")
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
def _normalize_word(word: str) -> str:
    if word[0].isdigit():
        return _ZERO_CENTS.sub("", _THOUSANDS.sub("", word)) or word
    word = word.replace("’", "'").removesuffix("'s")
    # A plural is the same thing as its singular; nothing more is stemmed.
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word


def _split_words(text: str) -> Iterator[str]:
    """Yield the words of a folded text; what is written without spaces comes in pairs of letters.

    Overlapping pairs need no dictionary, and two texts share as many as they share words.
    """
    if text.isascii() or not _RUN.search(text):
        yield from _SPACED_WORD.findall(text)
        return
    for word in _WORD.findall(text):
        if len(word) > 1 and _RUN.match(word):
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        else:
            yield word


def word_keys(text: str) -> frozenset[str]:
    """Return the distinct words of a text, in the form in which they are compared."""
    folded = unicodedata.normalize("NFC", text.casefold())
    return frozenset(_normalize_word(word) for word in set(_split_words(folded)))


def content_keys(text: str) -> frozenset[str]:
    """Return the words that carry the meaning of an answer or a question.

    Marks such as ``[3]`` are left out, and so are function words, unless there is nothing else.
    """
    keys = word_keys(_MARK.sub(" ", text))
    return (keys - _FUNCTION_KEYS) or keys


def count_words(text: str) -> int:
    """Count words; of what is written without spaces, two letters are taken for one."""
    unspaced = len(_RUN.findall(text)) if not text.isascii() else 0
    return len(text.split()) + unspaced // 2


_FUNCTION_KEYS = word_keys(_FUNCTION_WORDS)
