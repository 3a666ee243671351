"""Controls: what the memory does to activations, with the part that could help taken out.

Each control is a pair of hooks around the memory's own, on the same projections: one sees the
activation before the memory, the other what the memory made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pace_integrations.config import ClusterBy, ExpertConfig, MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.experts import reorder_neurons
from pace_integrations.feed_forward import find_projections


class Removable(Protocol):
    """What is attached to a model and can be taken off again."""

    def remove(self) -> None:
        """Leaves the model as it was."""
        ...


Attach = Callable[[nn.Module, MemoryConfig | None], Removable]
Change = Callable[[Tensor, Tensor], Tensor]


class MemoryHookPair:
    """Hooks before and after the memory's hook.

    Args:
        model: A model that carries the memory already.
        config: Settings of that memory.
        change: Makes the activation that is passed on, from the one before the memory and the one
            after it, ``(batch, tokens, features)`` both.
    """

    def __init__(self, model: nn.Module, config: MemoryConfig, change: Change) -> None:
        self._change = change
        self._before: dict[nn.Module, Tensor] = {}
        modules = find_projections(model, config.layers).values()
        self._handles = [
            handle
            for module in modules
            for handle in (
                module.register_forward_pre_hook(self._keep, prepend=True),
                module.register_forward_pre_hook(self._replace),
            )
        ]

    def remove(self) -> None:
        """Leaves the model with its memory alone."""
        for handle in self._handles:
            handle.remove()

    def _keep(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._before[module] = args[0]

    def _replace(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return self._change(self._before.pop(module), args[0]), *args[1:]


def attach_norm_control(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """Each activation multiplied by the ratio of norms the memory would have caused, no memory."""
    return MemoryHookPair(model, _require_memory(config), _scaled)


def attach_random_memory(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """What the banks give back, turned into another direction of the same length.

    Look-ups and updates stay as they are; what was retrieved goes through a fixed random
    permutation of the features with random signs, so that it keeps its norm and loses its meaning.

    Raises:
        ConfigError: The memory's rule is not the released one, whose output is a plain blend.
    """
    settings = _require_memory(config)
    if settings.rule != "released":
        raise ConfigError(f"random memory needs rule='released', not {settings.rule!r}")
    return MemoryHookPair(model, settings, _RandomTurn(1.0 - settings.blend))


def reorder_randomly(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """The neurons of every block in a random order.

    The function stays the same but for rounding: without a memory this is the noise floor. With a
    memory by experts it is the control for the division.

    Raises:
        ModelPatchError: The neurons of this model cannot be moved.
    """
    return _ReorderedModel(model, _expert_count(config), "random")


def reorder_by_cluster(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """The neurons of every block expert by expert, as the paper divides them.

    Raises:
        ModelPatchError: The neurons of this model cannot be moved.
        ConfigError: The number of experts does not divide the width.
    """
    return _ReorderedModel(model, _expert_count(config), "weights")


def _expert_count(config: MemoryConfig | None) -> int:
    return (config.experts if config else None) or 1


def _require_memory(config: MemoryConfig | None) -> MemoryConfig:
    if config is None:
        raise ConfigError("this control needs a memory to control for")
    return config


def _scaled(before: Tensor, after: Tensor) -> Tensor:
    x = before.float()
    norms, wanted = (torch.linalg.vector_norm(t.float(), dim=-1, keepdim=True) for t in (x, after))
    ratio = torch.where(norms > 0, wanted / norms, torch.ones_like(norms))
    return (x * ratio).to(before.dtype)


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
    """A fixed random order and signs for vectors of a width."""
    random = torch.Generator().manual_seed(features)
    order = torch.randperm(features, generator=random)
    return order, torch.randint(0, 2, (features,), generator=random).float() * 2 - 1


class _ReorderedModel:
    """A model whose neurons were reordered, until they are put back."""

    def __init__(self, model: nn.Module, experts: int, by: ClusterBy) -> None:
        self._reordering = reorder_neurons(model, ExpertConfig(experts=experts, by=by))

    def remove(self) -> None:
        """Puts every neuron back."""
        self._reordering.restore()
