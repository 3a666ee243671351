"""Text to comparable words, as the published scorers do it. Knows no metric."""

from __future__ import annotations

import importlib
import logging
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pace_integrations.errors import MissingExtraError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
# Chinese punctuation as LongBench counts it.
_CHINESE = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗"
    "〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)
_ENGLISH_MARKS = str.maketrans("", "", string.punctuation)
_CHINESE_MARKS = str.maketrans("", "", string.punctuation + _CHINESE)


def normalize_text(text: str) -> str:
    """Lower case without ASCII punctuation, articles and extra white space (SQuAD 1.1).

    Punctuation goes first: ``"a.b"`` becomes ``"ab"``, and ``"the."`` is an article.
    """
    bare = text.lower().translate(_ENGLISH_MARKS)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def normalize_chinese(text: str) -> str:
    """Lower case without punctuation of either script and without white space (LongBench)."""
    return "".join(text.lower().translate(_CHINESE_MARKS).split())


def split_english(text: str) -> list[str]:
    """Words of the normalised text."""
    return normalize_text(text).split()


def split_chinese(text: str) -> list[str]:
    """Words that jieba finds, normalised, without empty ones (LongBench, LV-Eval).

    Raises:
        MissingExtraError: jieba is not installed.
    """
    return [word for cut in segment_chinese(text) if (word := normalize_chinese(cut))]


def segment_chinese(text: str) -> Iterator[str]:
    """Words of a Chinese text as jieba cuts it, as they are.

    Raises:
        MissingExtraError: jieba is not installed.
    """
    try:
        jieba: Any = importlib.import_module("jieba")
    except ImportError as error:
        raise MissingExtraError("scoring Chinese answers", "eval-zh") from error
    jieba.setLogLevel(logging.WARNING)
    yield from (str(word) for word in jieba.cut(text, cut_all=False))


def overlap_f1(prediction: Iterable[str], gold: Iterable[str]) -> float:
    """Harmonic mean of precision and recall over words, each word as often as it occurs.

    Without a common word it is 0, also when both sides are empty (LongBench, SQuAD 1.1).
    """
    said, wanted = Counter(prediction), Counter(gold)
    same = (said & wanted).total()
    if same == 0:
        return 0.0
    return 2 * same / (said.total() + wanted.total())
