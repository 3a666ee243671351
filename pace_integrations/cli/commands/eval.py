"""``pace eval``: arms on the same rows, into a folder with a report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pace_integrations.cli.options import (
    CHUNK,
    Beyond,
    Chunk,
    Device,
    Dtype,
    Held,
    Model,
    Networks,
    Quantized,
    expand_groups,
)
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.errors import ConfigError

if TYPE_CHECKING:
    from pace_integrations.evaluation.arm_runner import RunSettings
    from pace_integrations.evaluation.runner import Progress
    from pace_integrations.evaluation.tasks import Row

Tasks = Annotated[
    list[str] | None,
    typer.Argument(metavar="TASK", help="Tasks, or names of data files; none: report again."),
]
Arms = Annotated[str, typer.Option(help="Arms by name, with commas; 'off' always takes part.")]
Lengths = Annotated[str, typer.Option(help="Tokens of a row's documents, with commas.")]
Rows = Annotated[int, typer.Option(help="Rows of each task and length.")]
Orders = Annotated[int, typer.Option(help="Document orders of each row.")]
Into = Annotated[
    Path, typer.Option("--report", metavar="DIR", help="Folder of records and report.")
]
On = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Your documents: facts in them, or prose.")
]
Haystack = Annotated[str, typer.Option(help="prose, or a folder of texts to hide needles in.")]
Processes = Annotated[int, typer.Option(help="Processes, each with a model of its own.")]
Share = Annotated[float, typer.Option(help="Budget of 'window' and 'bm25', as a share of tokens.")]
Limit = Annotated[int, typer.Option(help="Most tokens of an answer, whatever the task allows.")]
Batch = Annotated[int, typer.Option(help="Most questions about one text answered together.")]
Prefix = Annotated[bool, typer.Option(help="End questions with the task's answer prefix.")]
Seed = Annotated[int, typer.Option(help="Seed of the generated rows.")]

DEFAULT_ARMS = "released,slotwise,scale_only,permuted"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What all arms have in common: fields of `RunSettings`."""

    model: Model = None
    share: Share = 0.25
    max_new_tokens: Limit = 128
    batch: Batch = 1
    prefix: Prefix = False
    chunk: Chunk = CHUNK
    quantization: Quantized = None
    dtype: Dtype = "auto"
    device: Device = None
    overflow: Beyond = "error"
    context: Held = None
    ahn: Networks = None


@dataclass(frozen=True, slots=True)
class _RowRequest:
    """Which rows are to be made."""

    tasks: Sequence[str]
    lengths: Sequence[int]
    rows: int
    seed: int
    haystack: str
    on: Path | None


@expand_groups
def evaluate(
    report: Into,
    tasks: Tasks = None,
    arms: Arms = DEFAULT_ARMS,
    lengths: Lengths = "1024,2048",
    rows: Rows = 20,
    orders: Orders = 3,
    on: On = None,
    haystack: Haystack = "prose",
    processes: Processes = 1,
    seed: Seed = 0,
    *,
    run: RunOptions,
) -> None:
    """Compare memory rules and controls on the same questions, and report what was found.

    Each answer is kept when it is there: the same command again goes on where an interrupted one
    stopped. Without a task, the report in --report is made again from its records.
    """
    output = Output(json=False)
    with report_errors(output):
        # Imports PyTorch: after the options were understood.
        from pace_integrations.evaluation import report as reports
        from pace_integrations.evaluation.arm_runner import RunSettings

        command = None
        if tasks:
            command = reports.format_command(sys.argv[1:])
            wanted = _RowRequest(tasks, _parse_numbers(lengths), rows, seed, haystack, on)
            setting = RunSettings(**asdict(run))
            _run_arms(wanted, _split_words(arms), report, setting, orders, processes, output)
        for file in reports.write_report(report, command=command):
            output.show_notes([f"written: {file}"])


def _run_arms(
    wanted: _RowRequest,
    arms: Sequence[str],
    folder: Path,
    setting: RunSettings,
    orders: int,
    processes: int,
    output: Output,
) -> None:
    from pace_integrations.evaluation.arms import choose_arms
    from pace_integrations.evaluation.runner import run_arms

    chosen = choose_arms(arms)
    made = _make_rows(wanted, setting)
    with output.track_progress("answering", "answers") as show:
        run_arms(
            made,
            chosen,
            folder,
            setting=setting,
            orders=orders,
            processes=processes,
            show=_make_progress(show, output),
        )


def _make_rows(wanted: _RowRequest, setting: RunSettings) -> list[Row]:
    """Rows of all tasks and lengths; the model's own tokenizer counts."""
    from pace_integrations.evaluation.published.readers import load_rows
    from pace_integrations.evaluation.tasks import TASKS, TaskSpec, generate_rows
    from pace_integrations.session import Pace

    rows: list[Row] = []
    counting = None
    for task in wanted.tasks:
        if task not in TASKS and Path(task).exists():
            rows += load_rows(task, limit=wanted.rows)
            continue
        if counting is None:
            counting = Pace.load(setting.model, memory=None)
        for length in wanted.lengths:
            spec = TaskSpec(
                length=length,
                rows=wanted.rows,
                seed=wanted.seed,
                count=counting.count_tokens,
                haystack=wanted.haystack,
                on=wanted.on,
            )
            rows += generate_rows(task, spec)
    if counting is not None:
        counting.close()
    return rows


def _make_progress(bar: Callable[[int, int], None], output: Output) -> Callable[[Progress], None]:
    """Move the bar; where there is none, a line now and then."""
    last = -1

    def show(progress: Progress) -> None:
        nonlocal last
        bar(progress.done, progress.total)
        percent = 100 * progress.done // max(progress.total, 1)
        if not sys.stderr.isatty() and percent // 5 != last // 5:
            left = f"{progress.seconds_left or 0:.0f} s left"
            output.show_notes([f"{progress.done} of {progress.total} ({progress.arm}), {left}"])
        last = percent

    return show


def _split_words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _parse_numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _split_words(text)]
    except ValueError:
        raise ConfigError(f"--lengths takes numbers with commas, not {text!r}") from None
