"""Training: Muon for matrices, AdamW for the rest, resumable at any step."""

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from recipes.train_nano.compose import Composer
from recipes.train_nano.model import Shape, Trunk, build
from recipes.train_nano.plan import Plan
from recipes.train_nano.sources import load_sources
from recipes.train_nano.tokenizer import load_tokenizer

AVERAGE_DECAY = 0.998
SAVE_SECONDS = 180.0
LOG_STEPS = 50


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """The batch of each step, from `first` on.

    Args:
        prepared: Folder of the prepared data.
        plan: What is trained when.
        seed: Seed of all rows.
        first: Step of the first batch.
    """

    def __init__(self, prepared: Path, plan: Plan, seed: int, first: int) -> None:
        self._prepared, self._plan, self._seed, self._first = prepared, plan, seed, first
        self._opened: Composer | None = None

    def __len__(self) -> int:
        return max(0, self._plan.steps - self._first)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        step = self._first + index
        length = self._plan.length(step)
        rows = max(1, self._plan.tokens // length)
        ids, weights = self._composer().batch(step, rows, length, self._plan.stage(step).mix)
        return torch.from_numpy(ids), torch.from_numpy(weights)

    def _composer(self) -> Composer:
        """Open the composer once, in the process that uses it."""
        if self._opened is None:
            tokenizer = load_tokenizer(self._prepared)
            self._opened = Composer(load_sources(self._prepared), tokenizer, self._seed)
        return self._opened


@dataclass(frozen=True)
class Measures:
    """What one step shows.

    Args:
        answers: Mean loss of answer tokens.
        right: Share of answer tokens predicted rightly.
        context: Mean loss of context tokens.
    """

    answers: float
    right: float
    context: float


class Trainer:
    """One training, at some step.

    Args:
        shape: Size of the model.
        vocabulary: Number of tokens.
        plan: What to train.
        seed: Seed of the initialisation.
    """

    def __init__(self, shape: Shape, vocabulary: int, plan: Plan, seed: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: nn.Module = build(shape, vocabulary, seed).to(self.device)  # type: ignore[arg-type]
        self.plan = plan
        self.step = 0
        self._hidden = self._forward()
        self._optimizers = make_optimizers(self.model, plan.rate)
        self._rates = [o.param_groups[0]["lr"] for o in self._optimizers]
        self.average = {n: p.detach().clone() for n, p in self.model.named_parameters()}

    def _forward(self) -> Callable[[Tensor], Tensor]:
        trunk = Trunk(self.model, torch.bfloat16)
        return torch.compile(trunk, dynamic=False) if self.device.type == "cuda" else trunk

    def update(self, ids: Tensor, weights: Tensor) -> Measures:
        """Take one step."""
        measures = self._backward(ids.to(self.device), weights.to(self.device))
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * self.plan.factor(self.step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._update_average()
        return measures

    def _backward(self, ids: Tensor, weights: Tensor) -> Measures:
        bearing = weights[:, 1:] > 0
        target, weight = ids[:, 1:][bearing], weights[:, 1:][bearing]
        hidden = self._hidden(ids[:, :-1])[bearing]
        head = self.model.get_parameter("model.embed_tokens.weight").to(hidden.dtype)
        logits = (hidden @ head.t()).float()
        losses = nn.functional.cross_entropy(logits, target, reduction="none")
        ((losses * weight).sum() / weight.sum()).backward()
        return measured(losses.detach(), logits.argmax(-1) == target, weight >= 1)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Follow the weights with a running mean: what a falling rate would give, at all times."""
        decay = min(AVERAGE_DECAY, (1 + self.step) / (20 + self.step))
        for name, weight in self.model.named_parameters():
            self.average[name].lerp_(weight, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self._optimizers],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average = {n: t.to(self.device) for n, t in state["average"].items()}
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def measured(losses: Tensor, right: Tensor, answer: Tensor) -> Measures:
    """Take the means over answers and over context."""
    return Measures(
        losses[answer].mean().item(),
        right[answer].float().mean().item(),
        losses[~answer].mean().item(),
    )


def make_optimizers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings and norms."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else rest).append(weight)
    muon = torch.optim.Muon(
        matrices, lr=rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(rest, lr=rate * 0.75, betas=(0.9, 0.95), weight_decay=0.0)
    return [muon, adam]


def save_state(trainer: Trainer, path: Path) -> None:
    """Write the state so that a kill at any moment leaves a whole file."""
    partial = path.with_suffix(".partial")
    torch.save(trainer.state(), partial)
    partial.replace(path)


def open_trainer(prepared: Path, work: Path, shape: Shape, plan: Plan, seed: int) -> Trainer:
    """Return a trainer at the last saved step, or at the first."""
    trainer = Trainer(shape, load_tokenizer(prepared).get_vocab_size(), plan, seed)
    path = work / "state.pt"
    if path.exists():
        trainer.load_state(torch.load(path, map_location=trainer.device, weights_only=True))
        print(f"resumed at step {trainer.step}", flush=True)
    return trainer


def train(
    prepared: Path,
    work: Path,
    shape: Shape,
    plan: Plan,
    *,
    seed: int = 0,
    workers: int = 0,
    save_seconds: float = SAVE_SECONDS,
) -> Trainer:
    """Train to the end of the plan or until SIGTERM, saving every `save_seconds`."""
    trainer = open_trainer(prepared, work, shape, plan, seed)
    data = Batches(prepared, plan, seed, trainer.step)
    log, saved, stopped = Log(trainer), time.monotonic(), stop_signal()
    for ids, weights in DataLoader(data, batch_size=None, num_workers=workers):
        log.add(trainer.update(ids, weights))
        if time.monotonic() - saved > save_seconds:
            save_state(trainer, work / "state.pt")
            saved = time.monotonic()
        if stopped.is_set():
            break
    if len(data):
        save_state(trainer, work / "state.pt")
    return trainer


def stop_signal() -> threading.Event:
    """Return an event that SIGTERM sets."""
    event = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: event.set())
    return event


class Log:
    """Prints means every few steps.

    Args:
        trainer: The trainer that is watched.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._recent: list[Measures] = []
        self._began = time.monotonic()

    def add(self, measures: Measures) -> None:
        """Take note of a step."""
        self._recent.append(measures)
        if len(self._recent) == LOG_STEPS:
            print(self._line(), flush=True)
            self._recent, self._began = [], time.monotonic()

    def _line(self) -> str:
        answers, right, context = (self._mean(name) for name in ("answers", "right", "context"))
        plan, step = self._trainer.plan, self._trainer.step
        speed = LOG_STEPS * plan.tokens / (time.monotonic() - self._began)
        return (
            f"step {step} length {plan.length(step - 1)} answers {answers:.3f} right {right:.3f} "
            f"context {context:.3f} rate {plan.factor(step - 1):.3f} {speed:.0f} tokens/s"
        )

    def _mean(self, name: str) -> float:
        """Average over the steps that have such tokens."""
        values: list[float] = [v for m in self._recent if not math.isnan(v := getattr(m, name))]
        return sum(values) / max(1, len(values))
