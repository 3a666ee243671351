"""Tasks by name: generated ones, and data sets that the user has on disk."""

from __future__ import annotations

from collections.abc import Callable

from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.tasks import lookups, needles, planted, stories, tracing
from pace_integrations.evaluation.tasks.disk import load_rows
from pace_integrations.evaluation.tasks.rows import Row, reorder_documents
from pace_integrations.evaluation.tasks.spec import TaskSpec

__all__ = ["GENERATED", "Row", "TaskSpec", "generate_rows", "load_rows", "reorder_documents"]

GENERATED: dict[str, Callable[[TaskSpec], list[Row]]] = {
    "niah": needles.make_needle_grid,
    **needles.RULER,
    "vt": tracing.make_variables,
    "cwe": tracing.make_common_words,
    "fwe": tracing.make_frequent_words,
    "qa": lookups.make_questions,
    "qa_2hop": lookups.make_two_hop,
    "mdqa": lookups.make_passages,
    "kv": lookups.make_key_values,
    "babi_qa1": stories.make_one_fact,
    "babi_qa2": stories.make_two_facts,
    "planted": planted.plant_facts,
}


def generate_rows(task: str, spec: TaskSpec) -> list[Row]:
    """Rows of a generated task.

    Raises:
        ConfigError: There is no such task, or it needs what `spec` lacks.
    """
    if task not in GENERATED:
        raise ConfigError(f"no task {task!r}; there are {', '.join(GENERATED)}")
    return GENERATED[task](spec)
