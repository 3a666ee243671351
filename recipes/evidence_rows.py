"""What the evidence is measured on: the data on the command line, and rows made of it."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pace_integrations import MemoryConfig, Pace
from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.arms import Arm
from pace_integrations.evaluation.published.readers import load_rows
from pace_integrations.evaluation.tasks import Row, TaskSpec, generate_rows

CALIBRATED = "calibrated.json"
PROSE_TOKENS = 200_000  # of a record
WINDOW = 8000  # tokens: 25 of them are all the prose that the data hold
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
        arms: Names of the arms to run beside memory off; None takes all of a run.
        device: As in `Pace.load`.
        processes: Processes, each with a model per arm.
        max_new_tokens: Upper bound on the length of an answer.
        batch: Most questions about one text that are answered together.
    """

    model: str
    data: Path
    out: Path
    rows: int | None = None
    arms: tuple[str, ...] | None = None
    device: str | None = None
    processes: int = 1
    max_new_tokens: int = 16
    batch: int = 16

    @cached_property
    def pace(self) -> Pace:
        """The model without memory, for its tokenizer and for calibrating."""
        return Pace.load(self.model, memory=None, device=self.device)

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

    def choose_arms(self, arms: list[Arm]) -> list[Arm]:
        """Return memory off and those arms of a run that the command line names.

        Raises:
            ConfigError: The run has no arm of a name.
        """
        if self.arms is None:
            return arms
        names = [arm.name for arm in arms]
        if unknown := [name for name in self.arms if name not in names]:
            raise ConfigError(f"no arm {', '.join(unknown)} in this run; it has {', '.join(names)}")
        return [arm for arm in arms if arm.name in ("off", *self.arms)]

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


def make_prose_rows(length: int) -> Callable[[Given], list[Row]]:
    """Return what cuts the prose into windows of a length, `PROSE_TOKENS` of it."""
    return lambda given: generate_rows("prose", given.spec(length, -(-PROSE_TOKENS // length)))


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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command on evidence takes."""
    parser.add_argument("--model", required=True, help="name or path")
    parser.add_argument("--data", type=Path, required=True, help="folder with eval/ and nano/")
    parser.add_argument("--out", type=Path, default=Path("evidence"))
    parser.add_argument("--rows", type=int, help="most rows of a task and length")
    parser.add_argument("--device", help="where the model runs, such as cpu or cuda")
