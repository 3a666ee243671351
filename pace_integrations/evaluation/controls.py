"""Controls: what the memory does to activations, with the part that could help taken out.

Each control is a pair of hooks around the memory's own, on the same projections: one sees the
activation before the memory, the other what the memory made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.experts import cluster_neurons
from pace_integrations.memory.blocks import find_projections


class Removable(Protocol):
    """What is attached to a model and can be taken off again."""

    def remove(self) -> None:
        """Leaves the model as it was."""
        ...


Attach = Callable[[nn.Module, MemoryConfig | None], Removable]
Change = Callable[[Tensor, Tensor], Tensor]


class Around:
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


def scale_only(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """Each activation multiplied by the ratio of norms the memory would have caused, no memory."""
    return Around(model, _needed(config), _scaled)


def random_memory(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """What the banks give back, turned into another direction of the same length.

    Look-ups and updates stay as they are; what was retrieved goes through a fixed random
    permutation of the features with random signs, so that it keeps its norm and loses its meaning.

    Raises:
        ConfigError: The memory's rule is not the released one, whose output is a plain blend.
    """
    settings = _needed(config)
    if settings.rule != "released":
        raise ConfigError(f"random memory needs rule='released', not {settings.rule!r}")
    return Around(model, settings, _Turned(1.0 - settings.blend))


def permuted_neurons(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """The neurons of the memory's blocks, or with no memory of all, in another, random order.

    The function stays the same but for rounding: this is the noise floor.

    Raises:
        ConfigError: The blocks are not plain linear projections, with or without a gate.
    """

    def order(layer: int, weight: Tensor) -> Tensor:
        return torch.randperm(len(weight), generator=torch.Generator().manual_seed(layer))

    layers = range(_depth(model)) if config is None else config.layers
    return _Reordered(model, layers, order)


def clustered_neurons(model: nn.Module, config: MemoryConfig | None) -> Removable:
    """The neurons of the memory's blocks, those of one cortical expert side by side.

    Raises:
        ConfigError: The memory knows no experts, or the blocks are not plain linear projections.
    """
    experts = _needed(config).experts
    if experts is None:
        raise ConfigError("this arm needs a memory with similarity='experts'")

    def order(layer: int, weight: Tensor) -> Tensor:
        return torch.as_tensor(cluster_neurons(weight, experts)).argsort(stable=True)

    return _Reordered(model, config.layers if config else None, order)


def _needed(config: MemoryConfig | None) -> MemoryConfig:
    if config is None:
        raise ConfigError("this control needs a memory to control for")
    return config


def _scaled(before: Tensor, after: Tensor) -> Tensor:
    x = before.float()
    norms, wanted = (torch.linalg.vector_norm(t.float(), dim=-1, keepdim=True) for t in (x, after))
    ratio = torch.where(norms > 0, wanted / norms, torch.ones_like(norms))
    return (x * ratio).to(before.dtype)


class _Turned:
    """Turns what the memory added; `keep` is the activation's own share where it added some."""

    def __init__(self, keep: float) -> None:
        self._keep = keep

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        x, out = before.float(), after.float()
        added = out - self._keep * x
        order, signs = _turn(x.shape[-1])
        turned = self._keep * x + added[..., order.to(x.device)] * signs.to(x.device)
        touched = (before != after).any(-1, keepdim=True)
        return torch.where(touched, turned, x).to(before.dtype)


def _turn(features: int) -> tuple[Tensor, Tensor]:
    """A fixed random order and signs for vectors of a width."""
    random = torch.Generator().manual_seed(features)
    order = torch.randperm(features, generator=random)
    return order, torch.randint(0, 2, (features,), generator=random).float() * 2 - 1


class _Reordered:
    """Reorders the neurons of blocks in place, and puts them back.

    Args:
        model: The model.
        layers: 0-based layers; None takes those of the memory's defaults.
        order: Makes the new order of a layer's neurons from their weights ``(d_ff, d_model)``.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[int] | None,
        order: Callable[[int, Tensor], Tensor],
    ) -> None:
        projections = find_projections(model, layers)
        parents = {id(child): module for module in model.modules() for child in module.children()}
        self._done: list[tuple[nn.Linear, list[nn.Linear], Tensor]] = []
        for layer, output in projections.items():
            last, inputs = _linears(parents[id(output)], output)
            made = order(layer, inputs[0].weight.detach().float()).to(last.weight.device)
            _reorder(last, inputs, made)
            self._done.append((last, inputs, made.argsort()))

    def remove(self) -> None:
        """Puts every neuron back."""
        while self._done:
            _reorder(*self._done.pop())


def _linears(block: nn.Module, output: nn.Module) -> tuple[nn.Linear, list[nn.Linear]]:
    """The last projection of a block and those that lead into it, the gate first."""
    inputs = [m for m in block.children() if isinstance(m, nn.Linear) and m is not output]
    plain = isinstance(output, nn.Linear) and inputs
    if not plain or any(m.out_features != output.in_features for m in inputs):
        raise ConfigError(
            f"the neurons of {type(block).__name__} cannot be reordered by this arm; leave it out"
        )
    return output, inputs  # type: ignore[return-value]


@torch.no_grad()
def _reorder(output: nn.Linear, inputs: Sequence[nn.Linear], order: Tensor) -> None:
    for module in inputs:
        module.weight.copy_(module.weight[order].clone())
        if module.bias is not None:
            module.bias.copy_(module.bias[order].clone())
    output.weight.copy_(output.weight[:, order].clone())


def _depth(model: nn.Module) -> int:
    config: Any = model.config
    return int(config.get_text_config().num_hidden_layers)
