"""Generated tasks by name. Adding one: a function from a `TaskSpec` to rows, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pace_integrations._renamed import keep_renamed
from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.tasks import lookups, needles, planted, prose, stories, tracing
from pace_integrations.evaluation.tasks.rows import Row, reorder_documents
from pace_integrations.evaluation.tasks.spec import TaskSpec

__all__ = ["TASKS", "Row", "Task", "TaskSpec", "generate_rows", "reorder_documents"]


class Task(NamedTuple):
    """A generated task.

    Attributes:
        about: What is asked, in a few words.
        make: Makes its rows.
    """

    about: str
    make: Callable[[TaskSpec], list[Row]]

    def __call__(self, spec: TaskSpec) -> list[Row]:
        """Make its rows."""
        return self.make(spec)


TASKS: dict[str, Task] = {
    "niah": Task("one plain fact at five depths", needles.make_needle_grid),
    **{name: Task(f"RULER: {about}", make) for name, (about, make) in needles.RULER.items()},
    "vt": Task("RULER: variables that hold one value", tracing.make_variables),
    "cwe": Task("RULER: the ten most common words of a list", tracing.make_common_words),
    "fwe": Task("RULER: the three most frequent made-up words", tracing.make_frequent_words),
    "qa": Task("one passage of many holds the answer, anywhere", lookups.make_questions),
    "qa_2hop": Task("the answer takes two passages", lookups.make_two_hop),
    "mdqa": Task("one passage of many, at five places in turn", lookups.make_passages),
    "kv": Task("one of many pairs of identifiers", lookups.make_key_values),
    "babi_qa1": Task("where somebody is, who moved several times", stories.make_one_fact),
    "babi_qa2": Task("where something is that somebody took along", stories.make_two_facts),
    "planted": Task("an invented fact in documents of your own", planted.plant_facts),
    "prose": Task("how well texts of your own are predicted", prose.make_prose),
}


def generate_rows(task: str, spec: TaskSpec) -> list[Row]:
    """Make the rows of a generated task.

    Raises:
        ConfigError: There is no such task, or it needs what `spec` lacks.
    """
    if task not in TASKS:
        raise ConfigError(f"no task {task!r}; there are {', '.join(TASKS)}")
    return TASKS[task](spec)


__getattr__ = keep_renamed(__name__)
