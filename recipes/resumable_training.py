"""Training that may be killed at any moment: steps of AdamW, their log, and the state on disk."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

LOG_STEPS = 10


class Plan(Protocol):
    """How long and how fast to train."""

    @property
    def steps(self) -> int:
        """Step at which training ends."""

    @property
    def rate(self) -> float:
        """The learning rate at its highest."""

    def factor(self, step: int) -> float:
        """Return the share of the highest rate at a step."""


class ResumableTraining(ABC):
    """One training, at some step.

    Args:
        parameters: What is trained.
        plan: How long and how fast.
        first: Step at which it begins.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], plan: Plan, first: int = 0) -> None:
        self.step = first
        self._steps, self._rate, self._factor = plan.steps, plan.rate, plan.factor
        self._parameters = list(parameters)
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        self._begun = time.monotonic()
        self._stopped = False

    @abstractmethod
    def update(self) -> float:
        """Compute the gradients of a step, and apply them."""

    @abstractmethod
    def progress_line(self) -> str:
        """Return what the log says of the last `LOG_STEPS` steps."""

    def apply_gradients(self) -> None:
        """Change the parameters by their gradients; the step is then over."""
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * self._factor(self.step)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {"step": self.step, "optimizer": self._optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.step = state["step"]
        self._optimizer.load_state_dict(state["optimizer"])

    def resume(self, path: Path) -> None:
        """Go on from the state in a file, if there is one."""
        if path.exists():
            self.load_state(torch.load(path, weights_only=True))
            print(f"resumed at step {self.step}", flush=True)

    def save(self, path: Path) -> None:
        """Write the state beside its place and move it there."""
        beside = path.with_suffix(".writing")
        torch.save(self.state(), beside)
        beside.replace(path)

    def run(self, path: Path, seconds: float = 240.0) -> None:
        """Train to the end, saving the state every so many seconds and on SIGTERM."""
        former = signal.signal(signal.SIGTERM, self._stop)
        self._begun = saved = time.monotonic()
        while self.step < self._steps and not self._stopped:
            self.update()
            if self.step % LOG_STEPS == 0:
                print(f"step {self.step} {self.progress_line()}", flush=True)
            if time.monotonic() - saved > seconds:
                self.save(path)
                saved = time.monotonic()
        self.save(path)
        signal.signal(signal.SIGTERM, former)

    def _stop(self, *_: object) -> None:
        self._stopped = True
