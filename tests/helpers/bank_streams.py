"""Activations for banks, and the comparison of their states."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pace_integrations._memory_rules import RULES as MEMORY_RULES

RULES = list(MEMORY_RULES)


def stream(seed: int, tokens: int, features: int, noise: float = 0.4) -> torch.Tensor:
    """Tokens around a few directions, some alone, some repeated, some zero."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(features).normal(size=(4, features))
    x = centres[rng.integers(4, size=tokens)] + noise * rng.normal(size=(tokens, features))
    x *= np.exp(rng.normal(size=(tokens, 1)))
    alone = rng.random(tokens) < 0.3
    x[alone] = rng.normal(size=(int(alone.sum()), features))
    x[rng.random(tokens) < 0.05] = 0.0
    copies = np.flatnonzero(rng.random(tokens) < 0.1)
    x[copies] = x[np.maximum(copies - 1, 0)]
    return torch.tensor(x, dtype=torch.float32)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], **(tolerance or {"rtol": 0, "atol": 0}))


class Recorder(TorchDispatchMode):
    """Every operation's name and the size of what it made."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor) and not func.is_view:
                self.largest = max(self.largest, tensor.numel())
        return out
