"""Metrics by name. Adding one: a function of prediction and answers, and a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.metrics import answers as short
from pace_integrations.evaluation.published import metrics as published

# The metric, and which further fields of a row it takes.
METRICS: dict[str, tuple[Callable[..., float], tuple[str, ...]]] = {
    "token_f1": (short.token_f1, ()),
    "squad_f1": (short.squad_f1, ()),
    "exact_match": (short.exact_match, ()),
    "best_subspan": (short.best_subspan, ()),
    "contains": (short.contains_answer, ()),
    "contains_all": (short.contains_all, ()),
    **published.METRICS,
}


def score_prediction(
    metric: str, prediction: str, answers: Sequence[str], extra: Mapping[str, object] | None = None
) -> float:
    """Score what a model wrote, 0 to 1.

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
