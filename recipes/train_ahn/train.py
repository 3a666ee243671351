"""Training: AdamW on the networks, resumable after a kill."""

import math
import random
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pace_integrations.ahn import AHNConfig
from pace_integrations.model.hippocampus import HippocampusPatch
from recipes.resumable_training import LOG_STEPS, ResumableTraining
from recipes.train_ahn.objective import Weights, compute_kl, compute_loss
from recipes.train_ahn.student import run_student, run_teacher, set_foreign
from recipes.train_ahn.texts import Texts

SILENT = 128  # positions behind the window where silence is asked for


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: Step at which training ends.
        length: Tokens of a sequence.
        rows: Sequences of a step.
        lossless: Smallest and largest number of tokens that stay, sinks and window together.
        sinks: Numbers of sinks to draw from; at most half of the lossless tokens.
        rate: Learning rate at its highest.
        warm_up: Steps until then.
        seed: Seed of sequences, windows and sinks.
    """

    steps: int
    length: int = 512
    rows: int = 1
    lossless: tuple[int, int] = (48, 192)
    sinks: tuple[int, ...] = (4, 8, 16, 32, 64)
    rate: float = 1.5e-3
    warm_up: int = 15
    seed: int = 0

    def factor(self, step: int) -> float:
        """Return the share of the highest rate at a step."""
        rise = min(1.0, (step + 1) / self.warm_up)
        return rise * (0.05 + 0.95 * (1 + math.cos(math.pi * step / self.steps)) / 2)

    def draw_config(self, rng: random.Random, kind: str) -> AHNConfig:
        """Return sinks and window of one sequence."""
        low, high = self.lossless
        total = round(math.exp(rng.uniform(math.log(low), math.log(high))))
        total = min(total, self.length - 1)
        sinks = rng.choice([n for n in self.sinks if 2 * n <= total] or [0])
        return AHNConfig(kind, sinks, total - sinks)  # type: ignore[arg-type]


class Trainer(ResumableTraining):
    """One training, at some step.

    Args:
        model: The frozen model.
        patch: Its networks.
        texts: What is read.
        plan: How to train.
        weights: Of the terms of the loss.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        patch: HippocampusPatch,
        texts: Texts,
        plan: Plan,
        weights: Weights,
    ) -> None:
        self._networks = nn.ModuleDict({str(i): n for i, n in patch.networks.items()})
        super().__init__((p for p in self._networks.parameters() if p.requires_grad), plan)
        self.model, self.patch, self.plan, self.weights = model, patch, plan, weights
        self.curve, self.quiet = list[float](), list[float]()
        if weights.silence:
            self._foreign = HippocampusPatch(model, patch.config)
            for i, network in self._foreign.networks.items():
                network.fn = patch.networks[i].fn  # the same weights
            self._bare = HippocampusPatch(model, patch.config, bare=True)
        self._left = dict[int, Tensor]()  # the states of the text before
        self._texts = texts

    def update(self) -> float:
        """Take one step and return the divergence before it."""
        total = 0.0
        for row in range(self.plan.rows):
            rng = random.Random(f"{self.plan.seed}-{self.step}-{row}")
            ids = self._texts.draw(rng, self.plan.length).to(self.model.device)
            config = self.plan.draw_config(rng, self.patch.config.kind)
            first, traced = config.lossless, bool(self.weights.outputs)
            teacher = run_teacher(self.model, ids, first, outputs=traced)
            student = run_student(self.model, self.patch, config, ids, first, outputs=traced)
            loss, divergence = compute_loss(student, teacher, self.weights, self.step)
            (loss / self.plan.rows).backward()
            total += divergence / self.plan.rows
            if self.weights.silence:
                self._keep_silent(ids, config)
                self._left = dict(student.states)
        self.apply_gradients()
        self.curve.append(total)
        return total

    def _keep_silent(self, ids: Tensor, config: AHNConfig) -> None:
        """Add the gradient of what another text's state changes, which should be nothing."""
        if not self._left:
            return
        set_foreign(self._foreign, self._left)
        ids = ids[:, : config.lossless + SILENT]
        with torch.no_grad():
            bare = run_student(self.model, self._bare, config, ids, config.lossless)
        student = run_student(self.model, self._foreign, config, ids, config.lossless)
        divergence = compute_kl(student.logits, bare.logits)
        (divergence * self.weights.silence / self.plan.rows).backward()
        self.quiet.append(float(divergence.detach()))

    def progress_line(self) -> str:
        """Return the mean divergences and the time since the start."""
        own, other = (sum(part[-LOG_STEPS:]) / LOG_STEPS for part in (self.curve, self.quiet))
        beside = f" by another state {other:.4f}" if self.weights.silence else ""
        return f"kl {own:.4f}{beside} {time.monotonic() - self._begun:.0f} s"

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            **super().state(),
            "curve": self.curve,
            "quiet": self.quiet,
            "left": self._left,
            "networks": self._networks.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state(state)
        self.curve, self.quiet = list(state["curve"]), list(state["quiet"])
        self._left = dict(state["left"])
        self._networks.load_state_dict(state["networks"])
