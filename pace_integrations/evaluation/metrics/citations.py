"""Citation precision and recall: which passages an answer names, against those that hold it."""

from __future__ import annotations

from collections.abc import Collection


def citation_precision(cited: Collection[int], gold: Collection[int]) -> float:
    """Return the share of the cited passages that hold the answer; 0 where nothing is cited.

    Args:
        cited: Numbers of the passages that the answer names; each counts once.
        gold: Numbers of the passages that hold the answer.
    """
    named = set(cited)
    if not gold:
        return float(not named)
    return len(named & set(gold)) / len(named) if named else 0.0


def citation_recall(cited: Collection[int], gold: Collection[int]) -> float:
    """Return the share of the passages that hold the answer which are cited.

    Where no passage holds the answer, citing none is right and citing any is wrong.
    """
    wanted = set(gold)
    return len(wanted & set(cited)) / len(wanted) if wanted else float(not cited)
