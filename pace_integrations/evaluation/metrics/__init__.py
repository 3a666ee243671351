"""The benchmarks' own metrics, by name. Each takes what a model wrote and the right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.metrics import answers, choices, gated, overlap
from pace_integrations.evaluation.metrics.citations import citation_precision, citation_recall

__all__ = ["METRICS", "citation_precision", "citation_recall", "score_prediction"]

# The metric, and which further fields of a row it takes.
METRICS: dict[str, tuple[Callable[..., float], tuple[str, ...]]] = {
    "token_f1": (answers.token_f1, ()),
    "squad_f1": (answers.squad_f1, ()),
    "token_f1_chinese": (answers.token_f1_chinese, ()),
    "character_f1_chinese": (answers.character_f1_chinese, ()),
    "exact_match": (answers.exact_match, ()),
    "best_subspan": (answers.best_subspan, ()),
    "contains": (answers.contains_answer, ()),
    "contains_all": (answers.contains_all, ()),
    "rouge_l": (overlap.rouge_l, ()),
    "rouge_l_chinese": (overlap.rouge_l_chinese, ()),
    "rouge_lsum": (overlap.rouge_lsum, ()),
    "edit_similarity": (overlap.edit_similarity, ()),
    "classification": (choices.score_classification, ("classes",)),
    "retrieval": (choices.score_retrieval, ()),
    "count": (choices.score_count, ()),
    "stated_choice": (choices.stated_choice, ()),
    "option": (choices.score_option, ()),
    "first_integer": (choices.first_integer, ()),
    "first_number": (choices.first_number, ()),
    "last_integer": (choices.last_integer, ()),
    "leading_numbers": (choices.leading_numbers, ()),
    "named_option": (choices.named_option, ()),
    "word_match": (choices.word_match, ()),
    "name_match": (choices.name_match, ()),
    "label": (choices.score_label, ("classes", "question")),
    "keyword_f1": (gated.keyword_f1, ("keywords",)),
    "keyword_f1_chinese": (gated.keyword_f1_chinese, ("keywords",)),
    "keyword_recall": (gated.keyword_recall, ()),
    "keyword_recall_chinese": (gated.keyword_recall_chinese, ()),
    "rouge_l_without_stop_words": (gated.rouge_l_without_stop_words, ()),
}


def score_prediction(
    metric: str, prediction: str, answers: Sequence[str], extra: Mapping[str, object] | None = None
) -> float:
    """Scores what a model wrote, 0 to 1.

    Args:
        metric: A name in `METRICS`.
        prediction: What the model wrote.
        answers: Right answers; the metric says how several count.
        extra: Further fields of the row, of which the metric takes those that it knows. With
            ``first_line`` only the first line counts, as in some sets of LongBench.

    Raises:
        ConfigError: There is no such metric, or a field that it needs is missing.
    """
    if metric not in METRICS:
        raise ConfigError(f"no metric {metric!r}; there are {', '.join(sorted(METRICS))}")
    function, needs = METRICS[metric]
    fields = {name: (extra or {}).get(name) for name in needs}
    missing = [name for name, value in fields.items() if value is None]
    if missing:
        raise ConfigError(f"the metric {metric!r} needs the row's {' and '.join(missing)}")
    if (extra or {}).get("first_line"):
        prediction = prediction.lstrip("\n").split("\n")[0]
    return float(function(prediction, answers, **fields))
