"""Metrics of long answers: Rouge-L in the two forms in use, and edit similarity of code."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from rapidfuzz.fuzz import ratio

from pace_integrations.errors import MissingExtraError
from pace_integrations.evaluation.published.chinese import segment_chinese

_COMMENT_MARKS = ("`", "#", "//")


def rouge_l(prediction: str, answers: Sequence[str]) -> float:
    """Return Rouge-L F of the ``rouge`` package, which LongBench and LV-Eval use.

    Over sets of words, sentences cut at full stops; empty texts score 0.

    Raises:
        MissingExtraError: The package is not installed.
    """
    return max((_score_rouge_l(prediction, answer) for answer in answers), default=0.0)


def rouge_l_chinese(prediction: str, answers: Sequence[str]) -> float:
    """Return Rouge-L over jieba's words (LongBench ``rouge_zh_score``)."""
    said = " ".join(segment_chinese(prediction))
    return rouge_l(said, [" ".join(segment_chinese(answer)) for answer in answers])


def rouge_lsum(prediction: str, answers: Sequence[str]) -> float:
    """Return Rouge-L F at summary level of ``rouge-score``, no stemming (InfiniteBench En.Sum).

    Raises:
        MissingExtraError: The package is not installed.
    """
    score = _load_scorer()
    return max((score(a, prediction)["rougeLsum"].fmeasure for a in answers), default=0.0)


def edit_similarity(prediction: str, answers: Sequence[str]) -> float:
    """Return the similarity of the first line of code, in whole hundredths (LongBench).

    ``2 M / T`` with `M` characters of a longest common subsequence and `T` characters in all, as
    fuzzywuzzy computes it with python-Levenshtein; without that package it falls back to a greedy
    matching that is never larger. Lines with a comment mark or a backtick are skipped.
    """
    line = _first_code_line(prediction)
    return max((round(ratio(line, answer)) / 100 for answer in answers), default=0.0)


def _first_code_line(text: str) -> str:
    lines = text.lstrip("\n").split("\n")
    return next((ln for ln in lines if not any(mark in ln for mark in _COMMENT_MARKS)), "")


def _score_rouge_l(prediction: str, answer: str) -> float:
    rouge = _import_scorer("rouge").Rouge(metrics=["rouge-l"], stats=["f"])
    try:
        return float(rouge.get_scores(prediction, answer)[0]["rouge-l"]["f"])
    except (ValueError, RecursionError):
        return 0.0  # an empty text, or a sentence of a thousand words: the benchmarks count 0


@cache
def _load_scorer() -> Callable[..., Any]:
    score: Callable[..., Any] = (
        _import_scorer("rouge_score.rouge_scorer").RougeScorer(["rougeLsum"]).score
    )
    return score


def _import_scorer(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"this metric ({name})", "eval") from error
