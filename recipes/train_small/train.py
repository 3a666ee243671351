"""Training: AdamW on the adapter, resumable after a kill."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from recipes.resumable_training import ResumableTraining
from recipes.train_small.adapter import Adapter
from recipes.train_small.index import MOST_QUESTIONS, contrast
from recipes.train_small.model import Reader
from recipes.train_small.rows import Row

CONTRAST_WEIGHT = 0.3


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        first: Step at which this adapter's training begins: the rate rises from here.
        steps: Step at which it ends.
        decay: Number of steps at the end over which the rate falls to zero.
        rate: The learning rate.
        warm_up: Steps until the full rate is reached.
        tokens: Tokens of a step.
        lengths: Tokens of each row of a step, in turn from step to step.
    """

    first: int
    steps: int
    decay: int
    rate: float = 5e-4
    warm_up: int = 15
    tokens: int = 3072
    lengths: tuple[int, ...] = (1024, 1024, 1536, 1024, 768, 2048, 1024, 1536, 1024, 3072)

    def factor(self, step: int) -> float:
        """Return the share of the full rate at a step."""
        rise = min(1.0, (step - self.first + 1) / self.warm_up)
        fall = min(1.0, (self.steps - step) / max(1, self.decay))
        return min(rise, max(0.01, fall))


@dataclass
class Tally:
    """Counts of some steps: what was right, of how many."""

    counts: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, right: float, count: float) -> None:
        """Count `right` of `count`."""
        entry = self.counts.setdefault(name, [0.0, 0.0])
        entry[0] += right
        entry[1] += count

    def line(self) -> str:
        """Render the shares."""
        return " ".join(f"{n} {a / max(1, b):.3f}/{b:.0f}" for n, (a, b) in self.counts.items())


class AdapterTraining(ResumableTraining):
    """A training of an adapter, whose matrices are part of its state.

    Args:
        adapter: What is trained.
        schedule: How long and how fast.
    """

    def __init__(self, adapter: Adapter, schedule: Schedule) -> None:
        super().__init__(adapter.parameters(), schedule, schedule.first)
        self._adapter = adapter

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        adapter = {n: p.detach() for n, p in self._adapter.named().items()}
        return {**super().state(), "adapter": adapter}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state(state)
        self._adapter.load_named(state["adapter"])


class Trainer(AdapterTraining):
    """One training, at some step.

    Args:
        reader: The model.
        tokenizer: Its tokenizer.
        compose: Makes the row of a step, an index and a length.
        schedule: How long and how fast.
    """

    def __init__(
        self,
        reader: Reader,
        tokenizer: Tokenizer,
        compose: Callable[[int, int, int], Row],
        schedule: Schedule,
    ) -> None:
        super().__init__(reader.adapter, schedule)
        self.reader, self.schedule = reader, schedule
        self._tokenizer, self._compose = tokenizer, compose
        self.tally, self._tokens = Tally(), 0

    def update(self) -> int:
        """Take one step and return the number of tokens read."""
        length = self.schedule.lengths[self.step % len(self.schedule.lengths)]
        count = max(1, round(self.schedule.tokens / length))
        rows = [self._compose(self.step, i, length) for i in range(count)]
        total = sum(sum(row.weights) for row in rows)
        for index, row in enumerate(rows):
            self._backward(row, total, count, random.Random(f"{self.step}-{index}"))
        self.apply_gradients()
        self.reader.refresh()
        read = sum(len(row.ids) for row in rows)
        self._tokens += read
        return read

    def progress_line(self) -> str:
        """Return tokens per second and what was right, and start counting anew."""
        now = time.monotonic()
        line = f"{self._tokens / (now - self._begun):.0f} tokens/s {self.tally.line()}"
        self.tally, self._tokens, self._begun = Tally(), 0, now
        return line

    def _backward(self, row: Row, total: float, count: int, rng: random.Random) -> None:
        ids, weights = torch.tensor(row.ids), torch.tensor(row.weights)
        traced = self.reader.read(ids[None], torch.tensor(row.positions), row.pieces)
        # A token is predicted by the one before it, and the first of a reply by its turn's head.
        bearing = weights[1:] > 0
        target, weight = ids[1:][bearing], weights[1:][bearing]
        logits = self.reader.logits(traced.hidden[0, :-1][bearing])
        losses = nn.functional.cross_entropy(logits, target, reduction="none")
        loss = (losses * weight).sum() / total
        chosen = rng.sample(row.questions, min(len(row.questions), MOST_QUESTIONS))
        if chosen and len(row.pages) > 2:
            contrasted, right = contrast(
                self.reader, self._tokenizer, traced.keys[0], row.pages, chosen
            )
            loss = loss + CONTRAST_WEIGHT * contrasted / count
            self.tally.add("found", right, len(chosen))
        loss.backward()
        self._measure(row, bearing, losses.detach(), logits.argmax(-1) == target, weight)

    def _measure(
        self, row: Row, bearing: Tensor, losses: Tensor, right: Tensor, weight: Tensor
    ) -> None:
        self.tally.add("loss", (losses * weight).sum().item(), weight.sum().item())
        places = bearing.nonzero()[:, 0] + 1
        hits = dict(zip(places.tolist(), right.tolist(), strict=True))
        marks = {at: kind for kind, at in row.marks}
        for at, kind in marks.items():
            self.tally.add(kind, hits[at], 1)
        self.tally.add("token", right.float().sum().item(), len(right))

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state(state)
        self.reader.refresh()
