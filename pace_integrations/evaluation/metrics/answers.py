"""Metrics of short answers: word overlap, equality and containment; the best gold counts."""

from __future__ import annotations

from collections.abc import Sequence

from pace_integrations.evaluation.metrics.words import (
    normalize_text,
    overlap_f1,
    split_english,
)


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """Return the word F1 of normalized texts (LongBench, InfiniteBench En.QA, SQuAD 1.1)."""
    said = split_english(prediction)
    return max((overlap_f1(said, split_english(answer)) for answer in answers), default=0.0)


def squad_f1(prediction: str, answers: Sequence[str]) -> float:
    """Return the word F1 where silence can be right (SQuAD 2.0).

    No gold, or an empty one, means that there is no answer; then only an empty prediction counts.
    """
    said = split_english(prediction)
    golds = [split_english(answer) for answer in answers or ("",)]
    return max(overlap_f1(said, gold) if said and gold else float(said == gold) for gold in golds)


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the normalized texts are equal (SQuAD)."""
    said = normalize_text(prediction)
    return float(any(said == normalize_text(answer) for answer in answers))


def best_subspan(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if a normalized gold is part of the normalized prediction (lost-in-the-middle).

    A gold that normalizes to nothing, such as ``"The"``, is a part of everything, as upstream.
    """
    said = normalize_text(prediction)
    return float(any(normalize_text(answer) in said for answer in answers))


def contains_answer(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if a gold occurs in the prediction, in any case (RULER ``string_match_part``)."""
    said = prediction.lower()
    return float(any(answer.lower() in said for answer in answers))


def contains_all(prediction: str, answers: Sequence[str]) -> float:
    """Return the share of golds that occur in the prediction (RULER ``string_match_all``)."""
    said = prediction.lower()
    return sum(answer.lower() in said for answer in answers) / max(len(answers), 1)
