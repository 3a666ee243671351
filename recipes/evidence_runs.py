"""Runs for the evidence on a real model: prose, documents, planted facts, needles, ablations.

    python -m recipes.evidence_runs all --model HuggingFaceTB/SmolLM2-135M-Instruct --data data
    python -m recipes.evidence_runs prose-8k documents --model checkpoint --data data --out runs
    python -m recipes.evidence_runs all --model checkpoint --data data --rows 2   # does it run?
    python -m recipes.evidence_runs all --model checkpoint --data data --count    # what it costs

The same command goes on where an interrupted one stopped; what is there until then has the same
rows of every arm. The folder of data holds
``eval/squad_dev.jsonl`` and ``eval/2wikimultihopqa_dev_200.jsonl``, whose passages are the prose
too, and ``nano/p0.xz``, other prose on which ``calibrate`` chooses layers and thresholds; runs
after it have its choice as an arm. Each run has a folder of its own with records and a report;
``recipes.recompute_evidence`` computes the figures again from the records.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pace_integrations import Corpus
from pace_integrations._memory_rules import RULES
from pace_integrations.evaluation.arm_runner import RunSettings
from pace_integrations.evaluation.arms import ARMS, Arm
from pace_integrations.evaluation.report import write_report
from pace_integrations.evaluation.runner import Progress, run_arms
from pace_integrations.evaluation.tasks import Row
from pace_integrations.evaluation.tasks.rows import LOSS
from pace_integrations.feed_forward import default_layers
from recipes.ablations import ABLATIONS
from recipes.evidence_rows import (
    CALIBRATED,
    WINDOW,
    Given,
    add_options,
    make_document_rows,
    make_prose_rows,
    make_task_rows,
)

CONTROLS = ("scale_only", "random", "experts", "experts_random", "permuted")
CALIBRATION_TOKENS = 8192


def calibrate(given: Given) -> Path:
    """Choose layers and thresholds on other prose than what is measured, once."""
    file, text = given.out / CALIBRATED, ""
    if file.exists():
        return file
    with lzma.open(given.data / "nano" / "p0.xz", "rt", encoding="utf-8") as lines:
        while given.pace.count_tokens(text) < CALIBRATION_TOKENS:
            text += json.loads(next(lines))["text"] + "\n\n"
    layers = sorted({*range(0, given.depth, 3), *default_layers(given.depth)})
    found = given.pace.calibrate(
        Corpus.from_texts({"": text}),
        tokens=CALIBRATION_TOKENS,
        layers=layers,
        progress=lambda step: print(f"  calibrating: {step}", flush=True),
    )
    config = asdict(found.config) if found.config else None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"config": config, "said": str(found)}, indent=1), encoding="utf-8")
    print(found)
    return file


@dataclass(frozen=True)
class Run:
    """One record: rows and arms under one setting.

    Attributes:
        rows: Makes the rows.
        arms: Makes the arms.
        change: What its setting changes.
    """

    rows: Callable[[Given], list[Row]]
    arms: Callable[[Given], list[Arm]]
    change: Callable[[RunSettings], RunSettings] = lambda setting: setting


def every_memory(given: Given) -> list[Arm]:
    """Return memory off, every rule, what calibrating chose, and the controls."""
    names = ("off", *RULES, *CONTROLS)
    return [*(ARMS[name] for name in names), *given.chosen_memory()]


def memories_and_bm25(given: Given) -> list[Arm]:
    """Return the arms of `every_memory`, and BM25's best documents at a quarter of the tokens."""
    return [*every_memory(given), ARMS["bm25"]]


def memories_alone(given: Given) -> list[Arm]:
    """Return memory off and every memory without controls: for long and dear rows."""
    return [*(ARMS[name] for name in ("off", *RULES)), *given.chosen_memory()]


def make_ablation_arms(kind: str) -> Callable[[Given], list[Arm]]:
    """Return what makes the arms of one of the paper's ablations."""

    def make(given: Given) -> list[Arm]:
        return [ARMS["off"], *ABLATIONS[kind](given.depth), ARMS["permuted"]]

    return make


def slide_window(setting: RunSettings) -> RunSettings:
    """Read beyond the model's context in a window."""
    return replace(setting, overflow="window")


def stretch_positions(setting: RunSettings) -> RunSettings:
    """Read beyond the model's context by YaRN."""
    return replace(setting, overflow="yarn")


RUNS: dict[str, Run] = {
    "prose-8k": Run(make_prose_rows(WINDOW), every_memory),
    "prose-32k-window": Run(make_prose_rows(32768), every_memory, slide_window),
    "prose-32k-yarn": Run(make_prose_rows(32768), every_memory, stretch_positions),
    "documents": Run(make_document_rows, memories_and_bm25),
    "planted": Run(make_task_rows("planted", 2048), memories_and_bm25),
    "needles": Run(make_task_rows("niah", 4096), memories_and_bm25),
    "needles-200k": Run(
        make_task_rows("niah", 4096, 16384, 65536, 200_000, rows=10), memories_alone, slide_window
    ),
    **{
        f"ablation-{kind}": Run(make_prose_rows(WINDOW), make_ablation_arms(kind))
        for kind in ABLATIONS
    },
}


def run_family(name: str, given: Given, command: str | None = None) -> list[Path]:
    """Make or go on with one run, and write its report."""
    run, folder = RUNS[name], given.out / name
    setting = run.change(
        RunSettings(
            given.model,
            device=given.device,
            max_new_tokens=given.max_new_tokens,
            batch=given.batch,
        )
    )
    rows, arms = run.rows(given), given.choose_arms(run.arms(given))
    print(f"{name}: {len(rows)} rows, {len(arms)} arms, into {folder}", flush=True)
    run_arms(
        rows,
        arms,
        folder,
        setting=setting,
        orders=1,
        processes=given.processes,
        interleave=True,
        show=show_progress,
    )
    return write_report(folder, command=command)


def count_costs(name: str, given: Given) -> str:
    """Return what one run reads and answers, in a line; an arm that chooses reads less."""
    rows, arms = RUNS[name].rows(given), given.choose_arms(RUNS[name].arms(given))
    texts = {row.reading: row.documents for row in rows}
    count = given.pace.count_tokens
    tokens = sum(count(text) for documents in texts.values() for _, text in documents)
    asked = sum(row.metric != LOSS for row in rows)
    return (
        f"{name}: {len(rows)} rows about {len(texts)} texts; an arm reads {tokens} tokens and "
        f"answers {asked} questions; {len(arms)} arms"
    )


def show_progress(progress: Progress) -> None:
    """Print a line now and then."""
    if progress.done % 20 == 0 or progress.done == progress.total:
        left = (progress.seconds_left or 0.0) / 60
        print(f"  {progress.done} of {progress.total} ({progress.arm}), {left:.0f} min left")
        sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", choices=["all", "calibrate", *RUNS])
    add_options(parser)
    parser.add_argument("--arms", nargs="+", help="arms beside memory off; all by default")
    parser.add_argument("--processes", type=int, default=Given.processes)
    parser.add_argument("--max-new-tokens", type=int, default=Given.max_new_tokens)
    parser.add_argument("--batch", type=int, default=Given.batch, help="questions together")
    parser.add_argument("--count", action="store_true", help="print what the runs would cost")
    chosen = parser.parse_args(arguments)
    given = Given(
        chosen.model,
        chosen.data,
        chosen.out,
        chosen.rows,
        tuple(chosen.arms) if chosen.arms else None,
        chosen.device,
        chosen.processes,
        chosen.max_new_tokens,
        chosen.batch,
    )
    typed = shlex.join(["python", "-m", "recipes.evidence_runs", *(arguments or sys.argv[1:])])
    for name in ["calibrate", *RUNS] if "all" in chosen.runs else chosen.runs:
        if chosen.count:
            print("" if name == "calibrate" else count_costs(name, given), flush=True)
        elif name == "calibrate":
            print(f"  written: {calibrate(given)}")
        else:
            for file in run_family(name, given, typed):
                print(f"  written: {file}")


if __name__ == "__main__":
    main()
