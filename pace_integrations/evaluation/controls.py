"""Controls as arms: the memory with the part that could help taken out, or neurons reordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from pace_integrations._memory_rules import RULES
from pace_integrations.config import ClusterBy, ExpertConfig, MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.experts import reorder_neurons
from pace_integrations.feed_forward import find_projections
from pace_integrations.memory.calibration.norm_control import (
    ControlRule,
    MemoryControl,
    scale_norms,
)


class Removable(Protocol):
    """Something attached to a model that can be taken off again."""

    def remove(self) -> None:
        """Leave the model as it was."""
        ...


Attach = Callable[[nn.Module, MemoryConfig | None], Removable]


def attach_norm_control(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """Multiply activations by the ratio of norms that the memory causes, without its content."""
    return _attach_control(model, _require_memory(config), scale_norms)


def attach_random_memory(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """Turn what the banks give back into another direction of the same length.

    Look-ups and updates stay as they are; what was retrieved goes through a fixed random
    permutation of the features with random signs, so that it keeps its norm and loses its meaning.

    Raises:
        ConfigError: The memory's rule mixes the activation itself in, so that its output is no
            plain blend of two vectors.
    """
    settings = _require_memory(config)
    if RULES[settings.rule].mixes_input:
        plain = ", ".join(repr(name) for name, rule in RULES.items() if not rule.mixes_input)
        raise ConfigError(f"random memory needs one of the rules {plain}, not {settings.rule!r}")
    return _attach_control(model, settings, _RandomTurn(1.0 - settings.blend))


def reorder_randomly(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """Put the neurons of every block in a random order.

    The function stays the same but for rounding: without a memory this is the noise floor. With a
    memory by experts it is the control for the division.

    Raises:
        ModelPatchError: The neurons of this model cannot be moved.
    """
    return _ReorderedModel(model, _expert_count(config), "random")


def reorder_by_cluster(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """Put the neurons of every block in order expert by expert, as the paper divides them.

    Raises:
        ModelPatchError: The neurons of this model cannot be moved.
        ConfigError: The number of experts does not divide the width.
    """
    return _ReorderedModel(model, _expert_count(config), "weights")


def _attach_control(model: nn.Module, config: MemoryConfig, rule: ControlRule) -> MemoryControl:
    modules = find_projections(model, config.layers).values()
    return MemoryControl(modules, rule, outputs=config.values == "outputs")


def _expert_count(config: MemoryConfig | None) -> int:
    return (config.experts if config else None) or 1


def _require_memory(config: MemoryConfig | None) -> MemoryConfig:
    if config is None:
        raise ConfigError("this control needs a memory to control for")
    return config


class _RandomTurn:
    """Turns what the memory added; `keep` is the activation's own share where it added some."""

    def __init__(self, keep: float) -> None:
        self._keep = keep

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        x, out = before.float(), after.float()
        added = out - self._keep * x
        order, signs = _draw_turn(x.shape[-1])
        turned = self._keep * x + added[..., order.to(x.device)] * signs.to(x.device)
        touched = (before != after).any(-1, keepdim=True)
        return torch.where(touched, turned, x).to(before.dtype)


def _draw_turn(features: int) -> tuple[Tensor, Tensor]:
    """Draw a fixed random order and signs for vectors of a width."""
    random = torch.Generator().manual_seed(features)
    order = torch.randperm(features, generator=random)
    return order, torch.randint(0, 2, (features,), generator=random).float() * 2 - 1


class _ReorderedModel:
    """A model whose neurons were reordered, until they are put back."""

    def __init__(self, model: nn.Module, experts: int, by: ClusterBy) -> None:
        self._reordering = reorder_neurons(model, ExpertConfig(experts=experts, by=by))

    def remove(self) -> None:
        """Put every neuron back."""
        self._reordering.restore()
