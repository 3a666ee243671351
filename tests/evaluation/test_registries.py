"""Tasks, metrics and arms are known by their registries, and the site shows all of them."""

from __future__ import annotations

import importlib
import inspect
import runpy
from pathlib import Path

import pytest

from pace_integrations.evaluation import controls, selection, tasks
from pace_integrations.evaluation.arms import ARMS
from pace_integrations.evaluation.metrics import answers
from pace_integrations.evaluation.metrics.registry import METRICS
from pace_integrations.evaluation.published import catalog, chinese, choices, gated, overlap
from pace_integrations.evaluation.tasks import TASKS, TaskSpec, generate_rows

DOCS = Path(__file__).parents[2] / "docs"
HOOKS = runpy.run_path(str(DOCS / "hooks.py"))
PAGES = {path: path.read_text("utf-8") for path in sorted((DOCS / "pages").rglob("*.md"))}


def functions(module: object, parameter: str, place: int = 1) -> dict[str, object]:
    """Public functions of a module whose second parameter, or another one, has a name."""
    found = inspect.getmembers(module, inspect.isfunction)
    return {
        name: function
        for name, function in found
        if not name.startswith("_")
        and function.__module__ == module.__name__  # type: ignore[attr-defined]
        and [*inspect.signature(function).parameters][place : place + 1] == [parameter]
    }


@pytest.mark.parametrize("module", [answers, chinese, choices, gated, overlap])
def test_every_metric_function_has_a_name_in_the_registry(module: object) -> None:
    known = {function for function, _ in METRICS.values()}
    assert [n for n, made in functions(module, "answers").items() if made not in known] == []


def test_published_sets_name_metrics_that_exist() -> None:
    named = {metric for metric, _ in (*catalog.LONGBENCH.values(), *catalog.INFINITE.values())}
    assert named | set(catalog.LVEVAL.values()) <= set(METRICS)


@pytest.mark.parametrize("task", [name for name in TASKS if name not in {"planted", "prose"}])
def test_rows_of_a_task_name_the_task_and_a_metric(task: str) -> None:
    (row,) = generate_rows(task, TaskSpec(300, 1))
    assert row.task == task
    assert row.metric in METRICS


def test_every_function_that_makes_rows_is_a_task() -> None:
    modules = [f"{tasks.__name__}.{path.stem}" for path in Path(tasks.__file__).parent.glob("*.py")]
    made = {
        f"{name}:{function}"
        for name in modules
        for function in functions(importlib.import_module(name), "spec", place=0)
    }
    known = {f"{task.make.__module__}:{task.make.__qualname__}" for task in TASKS.values()}
    assert sorted(made - known) == [], "give it a row in TASKS of evaluation/tasks/__init__.py"


def test_every_control_and_every_choice_of_documents_is_an_arm() -> None:
    attached = {arm.attach for arm in ARMS.values()}
    assert set(functions(controls, "config").values()) <= attached
    chosen = {arm.select for arm in ARMS.values()}
    assert set(functions(selection, "budget").values()) <= chosen
    assert [arm.name for arm in ARMS.values()] == [*ARMS]


@pytest.mark.parametrize("name", HOOKS["MARKS"])
def test_every_registry_is_shown_on_a_page(name: str) -> None:
    mark = f"<!-- every {name} -->"
    pages = [text for text in PAGES.values() if mark in text]
    assert pages, f"no page under docs/pages has the mark {mark}"
    shown = HOOKS["on_page_markdown"](pages[0])
    assert mark not in shown


@pytest.mark.parametrize("names", [TASKS, ARMS, METRICS], ids=["tasks", "arms", "metrics"])
def test_the_site_names_every_entry(names: dict[str, object]) -> None:
    site = "".join(HOOKS["on_page_markdown"](text) for text in PAGES.values())
    assert [name for name in names if f"| `{name}` |" not in site] == []
