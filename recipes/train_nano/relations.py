"""Relations of planted facts, read from `relations.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Relation:
    """One thing that can be stated and asked.

    Args:
        value: Kind of the answer, a name in `values.KINDS`.
        subject: Kind of the thing spoken of; empty where the document speaks of itself.
        statements: Sentences that state the fact.
        questions: Questions that the statements answer.
    """

    value: str
    subject: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Compound:
    """Several things stated in one sentence.

    Args:
        subject: Kind of the thing spoken of; empty where the document speaks of itself.
        statements: Sentences with a slot for each value.
        questions: Questions by the slot they ask for.
    """

    subject: str
    statements: tuple[str, ...]
    questions: dict[str, tuple[str, ...]]


def _compound(row: dict[str, Any]) -> Compound:
    questions = {slot: tuple(texts) for slot, texts in row["questions"].items()}
    return Compound(row["subject"], tuple(row["statements"]), questions)


def _relation(row: dict[str, Any]) -> Relation:
    return Relation(row["value"], row["subject"], tuple(row["statements"]), tuple(row["questions"]))


_ROWS = tomllib.loads(Path(__file__).with_name("relations.toml").read_text(encoding="utf-8"))

TRAINING = tuple(map(_relation, _ROWS["training"]))
HELD_OUT = tuple(map(_relation, _ROWS["held_out"]))
COMPOUND = tuple(map(_compound, _ROWS["compound"]))
