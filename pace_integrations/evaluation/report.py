"""The report of a run: made from its records alone, as Markdown, HTML and pictures."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pace_integrations.errors import DocumentError
from pace_integrations.evaluation.figures import draw_figures
from pace_integrations.evaluation.render import (
    Code,
    Heading,
    Image,
    Part,
    Table,
    Text,
    render_html,
    render_markdown,
)
from pace_integrations.evaluation.runner import RESULTS, RUN, load_records
from pace_integrations.evaluation.statistics import (
    FLOOR,
    REFERENCE,
    Comparison,
    Interval,
    Record,
    compare_arms,
    keep_common_rows,
    measure_order_spread,
)
from pace_integrations.evaluation.tasks.rows import LOSS

MARKDOWN, HTML = "report.md", "report.html"

_READING = (
    "Scores lie between 0 and 1; the score of prose is its loss in nats with a minus sign. A row's "
    "document orders are averaged first, so that every row counts once. Intervals in brackets are "
    "95 % percentile intervals of a bootstrap over rows, differences paired with memory off on the "
    "same rows. p is how often signs drawn at random for the rows' differences give as large a "
    "mean. Detectable is the difference that as many rows with as much spread would show four "
    "times out of five. An arm is better or worse only if its interval is clear of zero, p at most "
    "0.05, and its difference above the noise floor, which is what reordering neurons does, a "
    "change that cannot matter. No correction for the number of arms is made: of twenty arms "
    "without effect, one may look like it had some."
)


def write_report(folder: Path, *, command: str | None = None) -> list[Path]:
    """Write ``report.md``, ``report.html`` and pictures from the records in a folder.

    Args:
        folder: Folder of a run, finished or not.
        command: What was typed; None takes what an earlier report noted.

    Returns:
        The two reports.

    Raises:
        DocumentError: The folder holds no records.
        MissingExtraError: matplotlib is not installed.
    """
    if not (folder / RESULTS).is_file() or not (answers := load_records(folder)):
        raise DocumentError(f"{folder} holds no records of a run; run 'pace eval TASK' into it")
    if not (records := keep_common_rows(answers)):
        raise DocumentError(f"{folder} has no row that all arms have answered; go on with the run")
    about = json.loads((folder / RUN).read_text(encoding="utf-8"))
    note = folder / "command.txt"
    if command is not None:
        note.write_text(command + "\n", encoding="utf-8")
    typed = note.read_text(encoding="utf-8").strip() if note.exists() else None
    pictures = [Image(file, shown) for file, shown in draw_figures(records, folder)]
    left_out = len(answers) - len(records)
    parts = [*build_report(records, about, typed, left_out), *_list_figures(pictures)]
    (folder / MARKDOWN).write_text(render_markdown(parts), encoding="utf-8")
    (folder / HTML).write_text(render_html(parts, folder), encoding="utf-8")
    return [folder / MARKDOWN, folder / HTML]


def build_report(
    records: Sequence[Record], about: dict[str, Any], command: str | None, left_out: int = 0
) -> list[Part]:
    """Make the report without its pictures; `left_out` answers are to rows not all arms have."""
    arms = about.get("arms", {})
    parts: list[Part] = [
        Heading(1, "Does the memory help?"),
        Text(_describe_run(records, about, left_out)),
        *([Code(command)] if command else []),
        Heading(2, "All rows together"),
        make_verdict_table(records, {name: arm["about"] for name, arm in arms.items()}),
        Text(_READING),
        Text(_describe_floor(records)),
        Heading(2, "By task and length"),
        make_task_table(records),
    ]
    tasks = list(dict.fromkeys(r["task"] for r in records))
    for task in tasks if len(tasks) > 1 else []:
        own = [r for r in records if r["task"] == task]
        parts += [Heading(3, task), make_verdict_table(own, {})]
    parts += [Heading(2, "Answers, citations, tokens and time"), make_cost_table(records)]
    return parts


def make_verdict_table(records: Sequence[Record], about: dict[str, str]) -> Table:
    """Compare every arm with memory off."""
    header = ["arm", "rows", "score", "difference to off", "p", "detectable", "verdict"]
    digits = _choose_digits(records)
    rows = [
        [
            _label_arm(c.arm, about),
            str(c.rows) if c.readings == c.rows else f"{c.rows} about {c.readings} texts",
            format_interval(c.score, digits),
            *_difference_cells(c, digits),
        ]
        for c in compare_arms(records)
    ]
    return Table(header, rows)


def make_task_table(records: Sequence[Record]) -> Table:
    """Tabulate mean scores by task and length, and the differences to memory off."""
    cells = list(dict.fromkeys((r["task"], r["length"]) for r in records))
    columns = {}
    for task, length in cells:
        own = [r for r in records if (r["task"], r["length"]) == (task, length)]
        columns[task, length] = {c.arm: c for c in compare_arms(own)}
    digits = _choose_digits(records)
    arms = list(dict.fromkeys(r["arm"] for r in records))
    header = ["arm", *(f"{task} {length}" if length else task for task, length in cells)]
    rows = [[arm, *(_score_cell(columns[cell].get(arm), digits) for cell in cells)] for arm in arms]
    return Table(header, rows)


def make_cost_table(records: Sequence[Record]) -> Table:
    """Tabulate changed answers, citations, tokens and seconds, as means by arm."""
    header = ["arm", "other answers", "citation precision", "citation recall", "tokens read"]
    header += ["s to read", "s each"]
    fields = ("citation_precision", "citation_recall", "tokens", "read_seconds", "answer_seconds")
    rows = []
    for arm in dict.fromkeys(r["arm"] for r in records):
        own = [r for r in records if r["arm"] == arm]
        means = [_mean_known(r[field] for r in own) for field in fields]
        shown = ["-" if m is None else f"{m:.0f}" if m >= 100 else f"{m:.2f}" for m in means]
        rows.append([arm, _other_answers(own, records), *shown])
    return Table(header, rows)


def _other_answers(own: Sequence[Record], records: Sequence[Record]) -> str:
    """Count the answers of an arm worded unlike those to the same questions without memory."""
    base = {(r["id"], r["order"]): r["prediction"] for r in records if r["arm"] == REFERENCE}
    both = [r for r in own if (r["id"], r["order"]) in base]
    unlike = sum(r["prediction"] != base[r["id"], r["order"]] for r in both)
    return f"{unlike} of {len(both)}"


def format_interval(found: Interval, digits: int = 3, sign: str = "") -> str:
    """Return a mean and its interval."""
    mean, low, high = (f"{x:{sign}.{digits}f}" for x in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def format_command(arguments: Sequence[str]) -> str:
    """Return a command as it can be typed again."""
    return shlex.join(["pace", *arguments])


def _describe_run(records: Sequence[Record], about: dict[str, Any], left_out: int) -> str:
    model = about.get("setting", {}).get("model") or "the embedded model"
    rows = len({r["id"] for r in records})
    orders = 1 + max(r["order"] for r in records)
    tasks = ", ".join(dict.fromkeys(r["task"] for r in records))
    said = (
        f"{model}, pace-integrations {about.get('version')}: {rows} rows of {tasks}, in up to "
        f"{orders} document orders, {len(records)} answers, greedy."
    )
    if left_out:
        said += (
            f" The run was ended early: {left_out} more answers, to rows that not every arm has "
            "answered, are left out."
        )
    return said


def _describe_floor(records: Sequence[Record]) -> str:
    arms = {r["arm"] for r in records}
    spread = measure_order_spread(records)
    said = (
        f"Noise floor: {max((c.floor for c in compare_arms(records)), default=0.0):.3f}."
        if FLOOR in arms
        else f"The noise floor was not measured (arm {FLOOR!r})."
    )
    if spread is not None:
        said += f" Between document orders, memory off alone differs by up to {spread:.3f}."
    return said


def _choose_digits(records: Sequence[Record]) -> int:
    """Return the digits to show: losses differ by less than scores."""
    return 4 if any(r.get("metric") == LOSS for r in records) else 3


def _difference_cells(c: Comparison, digits: int) -> list[str]:
    """Return difference, p, detectable difference and verdict; dashes for memory off itself."""
    if c.arm == REFERENCE:
        return ["-"] * 4
    p_value = "< 0.01" if c.p_value < 0.01 else f"{c.p_value:.2f}"
    difference = format_interval(c.difference, digits, "+")
    return [difference, p_value, f"{c.detectable:.{digits}f}", c.verdict]


def _label_arm(arm: str, about: dict[str, str]) -> str:
    return f"{arm}: {about[arm]}" if about.get(arm) else arm


def _score_cell(c: Comparison | None, digits: int) -> str:
    if c is None:
        return "-"
    own = f"{c.score.mean:.{digits}f}"
    return own if c.arm == REFERENCE else f"{own} ({c.difference.mean:+.{digits}f})"


def _list_figures(images: Sequence[Image]) -> list[Part]:
    if not images:
        return []
    parts: list[Part] = [Heading(2, "Pictures")]
    for image in images:
        parts += [Text(image.about), image]
    return parts


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
