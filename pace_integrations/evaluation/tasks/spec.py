"""Size and seed of generated tasks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.tasks.rows import Count


def estimate_tokens(text: str) -> int:
    """Estimate tokens as a byte-pair encoding makes about: four for three words."""
    return round(len(text.split()) * 4 / 3)


@dataclass(frozen=True)
class TaskSpec:
    """Size and seed of a generated task.

    Attributes:
        length: Tokens of the documents of one row.
        rows: Rows to make.
        seed: Rows with the same seed and size are the same.
        count: Counts the tokens of a text.
        haystack: ``"prose"``, ``"noise"`` or a folder of texts to hide things in.
        on: The user's own files, for tasks that plant facts in them.
        together: Rows that ask about one text, each about another fact of it, where the task hides
            one fact per row; the text is read once for all of them.
    """

    length: int
    rows: int = 10
    seed: int = 0
    count: Count = estimate_tokens
    haystack: str | Path = "prose"
    on: Path | None = None
    together: int = 1

    def __post_init__(self) -> None:
        for name in ("length", "rows", "together"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    def random(self, task: str, row: int) -> random.Random:
        """Return the random numbers of one row; no row depends on how many others there are."""
        return random.Random(f"{task} {self.seed} {self.length} {row}")

    def depth(self, row: int, levels: int = 5) -> float:
        """Return depths from 0 to 1 in turn."""
        return (row % levels) / (levels - 1)
