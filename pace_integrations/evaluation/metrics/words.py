"""Text to comparable words, as the published scorers do it. Knows no metric."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ENGLISH_MARKS = str.maketrans("", "", string.punctuation)


def normalize_text(text: str) -> str:
    """Lower-case a text and drop ASCII punctuation, articles and extra white space (SQuAD 1.1).

    Punctuation goes first: ``"a.b"`` becomes ``"ab"``, and ``"the."`` is an article.
    """
    bare = text.lower().translate(_ENGLISH_MARKS)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def split_english(text: str) -> list[str]:
    """Return the words of the normalized text."""
    return normalize_text(text).split()


def overlap_f1(prediction: Iterable[str], gold: Iterable[str]) -> float:
    """Return the harmonic mean of precision and recall over words, each as often as it occurs.

    Without a common word it is 0, also when both sides are empty (LongBench, SQuAD 1.1).
    """
    said, wanted = Counter(prediction), Counter(gold)
    same = (said & wanted).total()
    if same == 0:
        return 0.0
    return 2 * same / (said.total() + wanted.total())
