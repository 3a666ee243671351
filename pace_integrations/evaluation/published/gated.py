"""LV-Eval's F1, which counts only where enough of the answer's keywords were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pace_integrations.evaluation.metrics.words import overlap_f1, split_english
from pace_integrations.evaluation.published.chinese import (
    normalize_chinese,
    segment_chinese,
    split_chinese,
)
from pace_integrations.evaluation.published.overlap import rouge_l

# Words that do not count as found keywords: part of the metric's definition (LV-Eval, metrics.py).
_ENGLISH = """
about and are as at be because being but by does for from had has have he her his in is it of on or
she that their they this to was were what when which who with
"""
_CHINESE = """
的 和 是 等 在 年 可以 为 与 ‰ 了 或 一种 月 c 至 日 有 进行 于 不 中 × 根据 小 由 亩 也 要 指 法
会 元 主要 以及 通过 首先 对 然后 号 以 所 后 丁 包括 无 将 用 能 形 方面 因素 位于 而 从 到 一定
用于 但 使用 让 具有 并 亿元 万元 上 类 基于 才 来 地 片 其他 个 或者 变得 时 给 你 使 条 受 已经
带 度
"""
STOP_WORDS, STOP_WORDS_CHINESE = frozenset(_ENGLISH.split()), frozenset(_CHINESE.split())


def keyword_f1(prediction: str, answers: Sequence[str], *, keywords: str = "") -> float:
    """Return the word F1, or 0 where fewer than 0.2 of the keywords were said (LV-Eval).

    Args:
        prediction: What the model wrote.
        answers: Golds; the best counts.
        keywords: The gold's keywords; without any the F1 stands alone. Stop words among them are
            never found, yet count in the denominator.
    """
    said, wanted = split_english(prediction), split_english(keywords)
    if keywords and _recall_keywords(said, wanted, STOP_WORDS) < 0.2:
        return 0.0
    return max((overlap_f1(said, split_english(answer)) for answer in answers), default=0.0)


def keyword_f1_chinese(prediction: str, answers: Sequence[str], *, keywords: str = "") -> float:
    """Return `keyword_f1` over jieba's words; the limit is 0.4, a gold its own keyword list."""
    said = split_chinese(prediction)
    best = 0.0
    for answer in answers:
        gold = split_chinese(answer)
        wanted = split_chinese(keywords) if keywords else gold
        if _recall_keywords(said, wanted, STOP_WORDS_CHINESE) >= 0.4:
            best = max(best, overlap_f1(said, gold))
    return best


def keyword_recall(prediction: str, answers: Sequence[str]) -> float:
    """Return the share of a gold's words that were said (LV-Eval, factrecall)."""
    said = split_english(prediction)
    return max(
        (_recall_keywords(said, split_english(a), frozenset()) for a in answers), default=0.0
    )


def keyword_recall_chinese(prediction: str, answers: Sequence[str]) -> float:
    """Return `keyword_recall` over jieba's words."""
    said = split_chinese(prediction)
    return max(
        (_recall_keywords(said, split_chinese(a), frozenset()) for a in answers), default=0.0
    )


def rouge_l_without_stop_words(prediction: str, answers: Sequence[str]) -> float:
    """Return Rouge-L over jieba's words less LV-Eval's stop words (dureader)."""
    return rouge_l(_drop_stop_words(prediction), [_drop_stop_words(answer) for answer in answers])


def _drop_stop_words(text: str) -> str:
    words = map(normalize_chinese, segment_chinese(" ".join(segment_chinese(text))))
    return " ".join(word for word in words if word not in STOP_WORDS_CHINESE)


def _recall_keywords(said: Sequence[str], wanted: Sequence[str], ignored: frozenset[str]) -> float:
    common = Counter(said) & Counter(wanted)
    found = sum(n for word, n in common.items() if word not in ignored)
    return found / len(wanted) if wanted else 0.0
