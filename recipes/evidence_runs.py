"""Runs for the evidence on a real model: prose, documents, planted facts, needles, ablations.

    python -m recipes.evidence_runs all --model HuggingFaceTB/SmolLM2-135M-Instruct --data data
    python -m recipes.evidence_runs prose-8k documents --model checkpoint --data data --out runs
    python -m recipes.evidence_runs all --model checkpoint --data data --rows 2   # does it run?

The same command goes on where an interrupted one stopped. The folder of data holds
``eval/squad_dev.jsonl`` and ``eval/2wikimultihopqa_dev_200.jsonl``, whose passages are the prose
too, and ``nano/p0.xz``, other prose on which ``calibrate`` chooses layers and thresholds; runs
after it have its choice as an arm. Each run has a folder of its own with records and a report;
``recipes.recompute_evidence`` computes the figures again from the records.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from pace_integrations import Corpus, MemoryConfig, Pace
from pace_integrations._memory_rules import RULES
from pace_integrations.evaluation.arm_runner import RunSettings
from pace_integrations.evaluation.arms import ARMS, Arm
from pace_integrations.evaluation.published.readers import load_rows
from pace_integrations.evaluation.report import write_report
from pace_integrations.evaluation.runner import Progress, run_arms
from pace_integrations.evaluation.tasks import Row, TaskSpec, generate_rows
from pace_integrations.feed_forward import default_layers
from recipes.ablations import ABLATIONS

CONTROLS = ("scale_only", "random", "experts", "experts_random", "permuted")
CALIBRATION_TOKENS = 8192
CALIBRATED = "calibrated.json"
PASSAGES = 10  # of a question: its own and others
FACTS = 10  # asked about one text


@dataclass(frozen=True)
class Given:
    """The command line's arguments.

    Attributes:
        model: Name or path of the model.
        data: Folder of data.
        out: Folder of all runs.
        rows: Most rows of a task and length; None takes as many as each run wants.
    """

    model: str
    data: Path
    out: Path
    rows: int | None = None

    @cached_property
    def pace(self) -> Pace:
        """The model without memory, for its tokenizer and for calibrating."""
        return Pace.load(self.model, memory=None)

    @property
    def depth(self) -> int:
        """Decoder layers of the model."""
        return int(self.pace._engine.loaded.model.config.get_text_config().num_hidden_layers)

    @cached_property
    def prose(self) -> Path:
        """A folder with every passage of the evaluation rows, article by article."""
        folder = self.out / "prose"
        folder.mkdir(parents=True, exist_ok=True)
        articles: dict[str, dict[str, None]] = {}
        for row in [*self.read("squad_dev"), *self.read("2wikimultihopqa_dev_200")]:
            for title, text in row.documents:
                articles.setdefault(title, {})[text] = None
        paragraphs = [text for texts in articles.values() for text in texts]
        (folder / "passages.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
        return folder

    def read(self, name: str) -> list[Row]:
        """Return the rows of one file of evaluation data."""
        return load_rows(self.data / "eval" / f"{name}.jsonl")

    def limit(self, wanted: int) -> int:
        """Return how many rows to make where a run wants some."""
        return wanted if self.rows is None else min(wanted, self.rows)

    def spec(self, length: int, rows: int, together: int = 1) -> TaskSpec:
        """Return what a generated task is asked for."""
        return TaskSpec(
            length,
            self.limit(rows),
            count=self.pace.count_tokens,
            haystack=self.prose,
            on=self.prose,
            together=together,
        )

    def chosen_memory(self) -> list[Arm]:
        """Return the arm of the memory that the run ``calibrate`` chose, if it chose one."""
        file = self.out / CALIBRATED
        config = json.loads(file.read_text("utf-8"))["config"] if file.exists() else None
        if config is None:
            return []
        return [Arm("calibrated", "memory: what calibrating chose", MemoryConfig(**config))]


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


def make_prose_rows(length: int) -> Callable[[Given], list[Row]]:
    """Return what makes all the prose into windows of a length."""
    return lambda given: generate_rows("prose", given.spec(length, 10_000))


def make_document_rows(given: Given) -> list[Row]:
    """Return questions on ten passages: SQuAD's, all of ten passages at once, and 2Wiki's."""
    squad = [row for row in given.read("squad_dev") if row.answers]
    texts = list(dict.fromkeys(row.documents[row.gold[0]] for row in squad))
    random.Random(0).shuffle(texts)  # neighbors are of one article
    rows = []
    for start in range(0, len(texts), PASSAGES):
        documents = tuple(texts[start : start + PASSAGES])
        for row in squad:
            own = row.documents[row.gold[0]]
            if own in documents:
                at = documents.index(own)
                rows.append(
                    replace(row, task="squad10", documents=documents, gold=(at,),
                            metric="token_f1", position=at / (PASSAGES - 1))
                )  # fmt: skip
    wiki = [replace(row, task="2wiki") for row in given.read("2wikimultihopqa_dev_200")]
    return [*rows[: given.limit(len(rows))], *wiki[: given.limit(len(wiki))]]


def make_task_rows(task: str, *lengths: int, rows: int = 300) -> Callable[[Given], list[Row]]:
    """Return what makes rows of a generated task at some lengths, ten of them about each text."""
    return lambda given: [
        row for length in lengths for row in generate_rows(task, given.spec(length, rows, FACTS))
    ]


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
    "prose-8k": Run(make_prose_rows(8192), every_memory),
    "prose-32k-window": Run(make_prose_rows(32768), every_memory, slide_window),
    "prose-32k-yarn": Run(make_prose_rows(32768), every_memory, stretch_positions),
    "documents": Run(make_document_rows, memories_and_bm25),
    "planted": Run(make_task_rows("planted", 2048), memories_and_bm25),
    "needles": Run(make_task_rows("niah", 4096), memories_and_bm25),
    "needles-200k": Run(
        make_task_rows("niah", 4096, 16384, 65536, 200_000, rows=10), memories_alone, slide_window
    ),
    **{
        f"ablation-{kind}": Run(make_prose_rows(8192), make_ablation_arms(kind))
        for kind in ABLATIONS
    },
}


def run_family(name: str, given: Given, command: str | None = None) -> list[Path]:
    """Make or go on with one run, and write its report."""
    run, folder = RUNS[name], given.out / name
    setting = run.change(RunSettings(model=given.model, max_new_tokens=32))
    rows, arms = run.rows(given), run.arms(given)
    print(f"{name}: {len(rows)} rows, {len(arms)} arms, into {folder}", flush=True)
    run_arms(rows, arms, folder, setting=setting, orders=1, show=show_progress)
    return write_report(folder, command=command)


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
    parser.add_argument("--model", required=True, help="name or path")
    parser.add_argument("--data", type=Path, required=True, help="folder with eval/ and nano/")
    parser.add_argument("--out", type=Path, default=Path("evidence"))
    parser.add_argument("--rows", type=int, help="most rows of a task and length")
    chosen = parser.parse_args(arguments)
    given = Given(chosen.model, chosen.data, chosen.out, chosen.rows)
    typed = shlex.join(["python", "-m", "recipes.evidence_runs", *(arguments or sys.argv[1:])])
    for name in ["calibrate", *RUNS] if "all" in chosen.runs else chosen.runs:
        if name == "calibrate":
            print(f"  written: {calibrate(given)}")
            continue
        for file in run_family(name, given, typed):
            print(f"  written: {file}")


if __name__ == "__main__":
    main()
