"""What the site takes from programs: commands' help, registries as tables, colors of code."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import typer
from pygments.formatters import HtmlFormatter

WIDTH = 88


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace each mark by what its program says."""
    for name, iter_lines in MARKS.items():
        mark = f"<!-- every {name} -->"
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(iter_lines()))
    return markdown


def on_post_build(config: Mapping[str, Any]) -> None:
    """Write the style sheet that the classes of highlighted code belong to."""
    sheet = Path(config["site_dir"]) / "css" / "code.css"
    sheet.write_text(HtmlFormatter().get_style_defs(".highlight"), encoding="utf-8")


def iter_sections() -> Iterator[str]:
    """Return a section for each command: its name and what its ``--help`` prints."""
    from pace_integrations.cli import app

    for words, command in iter_commands(typer.main.get_command(app), ("pace",)):
        yield f"## {' '.join(words)}\n\n```console\n$ {' '.join(words)} --help\n"
        yield f"{capture_help(command, words)}```\n"


def iter_commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and those below it."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from iter_commands(below, (*words, name))


def capture_help(command: click.Command, words: tuple[str, ...]) -> str:
    """Return what ``--help`` prints in a terminal of fixed width."""
    out, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(out):
            command.main(
                ["--help"],
                prog_name=" ".join(words),
                standalone_mode=False,
                help_option_names=["-h", "--help"],  # as the root hands them down
            )
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def iter_table(*rows: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a Markdown table; the first row is its header."""
    for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]):
        yield f"| {' | '.join(row)} |"


def iter_rules() -> Iterator[str]:
    """Yield a table of the memory's rules with the defaults that belong to each."""
    from pace_integrations._memory_rules import RULES

    header = ("rule", "what it is", "`theta_low`", "`theta_high`", "`blend`")
    rows = [
        (f"`{name}`", rule.about, f"{rule.theta_low:g}", f"{rule.theta_high:g}", f"{rule.blend:g}")
        for name, rule in RULES.items()
    ]
    yield from iter_table(header, *rows)


def iter_rule_modules() -> Iterator[str]:
    """Yield the reference of every rule's module."""
    from pace_integrations._memory_rules import RULES

    for name in RULES:
        yield f"::: pace_integrations.memory.rules.{name}\n"


def iter_tasks() -> Iterator[str]:
    """Yield a table of the generated tasks."""
    from pace_integrations.evaluation.tasks import TASKS

    rows = ((f"`{name}`", task.about) for name, task in TASKS.items())
    yield from iter_table(("task", "what is asked"), *rows)


def iter_arms() -> Iterator[str]:
    """Yield a table of the arms."""
    from pace_integrations.evaluation.arms import ARMS

    rows = ((f"`{name}`", arm.about) for name, arm in ARMS.items())
    yield from iter_table(("arm", "what it is"), *rows)


def iter_metrics() -> Iterator[str]:
    """Yield a table of the metrics, as the first lines of their docstrings say them."""
    from pace_integrations.evaluation.metrics.registry import METRICS

    said = {name: (made.__doc__ or "").partition("\n")[0] for name, (made, _) in METRICS.items()}
    yield from iter_table(("metric", "what it counts"), *((f"`{n}`", d) for n, d in said.items()))


MARKS: dict[str, Callable[[], Iterator[str]]] = {
    "command": iter_sections,
    "rule": iter_rules,
    "rule's module": iter_rule_modules,
    "task": iter_tasks,
    "arm": iter_arms,
    "metric": iter_metrics,
}
