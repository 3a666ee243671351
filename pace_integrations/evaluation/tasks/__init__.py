"""Tasks by name: generated ones, and data sets that the user has on disk."""

from __future__ import annotations

from collections.abc import Callable

from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.tasks import lookups, needles, planted, stories, tracing
from pace_integrations.evaluation.tasks.disk import load_rows
from pace_integrations.evaluation.tasks.rows import Row, reordered
from pace_integrations.evaluation.tasks.spec import Spec

__all__ = ["GENERATED", "Row", "Spec", "generate", "load_rows", "reordered"]

GENERATED: dict[str, Callable[[Spec], list[Row]]] = {
    "niah": needles.grid,
    **needles.RULER,
    "vt": tracing.variables,
    "cwe": tracing.common_words,
    "fwe": tracing.frequent_words,
    "qa": lookups.questions,
    "qa_2hop": lookups.two_passages,
    "mdqa": lookups.passages,
    "kv": lookups.key_values,
    "babi_qa1": stories.one_fact,
    "babi_qa2": stories.two_facts,
    "planted": planted.facts,
}


def generate(task: str, spec: Spec) -> list[Row]:
    """Rows of a generated task.

    Raises:
        ConfigError: There is no such task, or it needs what `spec` lacks.
    """
    if task not in GENERATED:
        raise ConfigError(f"no task {task!r}; there are {', '.join(GENERATED)}")
    return GENERATED[task](spec)
