"""Chinese text to comparable words, and the F1 metrics over them."""

from __future__ import annotations

import importlib
import logging
import string
from collections.abc import Iterator, Sequence
from typing import Any

from pace_integrations.errors import MissingExtraError
from pace_integrations.evaluation.metrics.words import overlap_f1

# Chinese punctuation as LongBench counts it.
_CHINESE = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗"
    "〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)
_CHINESE_MARKS = str.maketrans("", "", string.punctuation + _CHINESE)


def normalize_chinese(text: str) -> str:
    """Lower-case a text without punctuation of either script and white space (LongBench)."""
    return "".join(text.lower().translate(_CHINESE_MARKS).split())


def split_chinese(text: str) -> list[str]:
    """Return the words that jieba finds, normalized, without empty ones (LongBench, LV-Eval).

    Raises:
        MissingExtraError: jieba is not installed.
    """
    return [word for cut in segment_chinese(text) if (word := normalize_chinese(cut))]


def segment_chinese(text: str) -> Iterator[str]:
    """Yield the words of a Chinese text as jieba cuts it, as they are.

    Raises:
        MissingExtraError: jieba is not installed.
    """
    try:
        jieba: Any = importlib.import_module("jieba")
    except ImportError as error:
        raise MissingExtraError("scoring Chinese answers", "eval-zh") from error
    jieba.setLogLevel(logging.WARNING)
    yield from (str(word) for word in jieba.cut(text, cut_all=False))


def token_f1_chinese(prediction: str, answers: Sequence[str]) -> float:
    """Return word F1 over jieba's words (LongBench ``qa_f1_zh_score``)."""
    said = split_chinese(prediction)
    return max((overlap_f1(said, split_chinese(answer)) for answer in answers), default=0.0)


def character_f1_chinese(prediction: str, answers: Sequence[str]) -> float:
    """Return F1 over characters (InfiniteBench Zh.QA)."""
    said = normalize_chinese(prediction)
    return max((overlap_f1(said, normalize_chinese(answer)) for answer in answers), default=0.0)
