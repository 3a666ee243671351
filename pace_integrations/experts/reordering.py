"""Dividing all layers of a loaded model into experts: cluster, keep, move, undo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pace_integrations._paths import cache_folder
from pace_integrations.config import ExpertConfig
from pace_integrations.errors import ConfigError
from pace_integrations.experts.cache import PermutationCache, make_cache_key
from pace_integrations.experts.cluster import check_experts, cluster_neurons
from pace_integrations.experts.permute import (
    check_movable,
    describe_neurons,
    invert_order,
    order_by_expert,
    permute_neurons,
)
from pace_integrations.feed_forward import Block, find_blocks


class Reordering:
    """A model whose neurons lie expert by expert. Made by `reorder`.

    Attributes:
        config: How the experts were made.
        orders: For each reordered layer, the old place of the neuron now at each place
            ``(d_ff,)``; expert e is at places ``e d_ff / E`` to ``(e + 1) d_ff / E``.
    """

    def __init__(self, model: nn.Module, config: ExpertConfig, orders: dict[int, Tensor]) -> None:
        self._model = model
        self.config = config
        self.orders: Mapping[int, Tensor] = orders
        self._applied = True

    @property
    def fingerprint(self) -> str:
        """Hash of the number of experts and the order of every layer."""
        digest = hashlib.sha256(str(self.config.experts).encode())
        for layer, order in sorted(self.orders.items()):
            digest.update(f"{layer}:".encode() + order.to(torch.int32).numpy().tobytes())
        return f"sha256:{digest.hexdigest()}"

    def restore(self) -> None:
        """Put every neuron back where it was, bit for bit; a second call changes nothing."""
        if self._applied:
            blocks = {block.layer: block for block in find_blocks(self._model, [*self.orders])}
            permute_neurons(
                blocks, {layer: invert_order(order) for layer, order in self.orders.items()}
            )
            self._applied = False


def reorder_neurons(
    model: nn.Module,
    config: ExpertConfig,
    *,
    activations: Callable[[Sequence[Block]], Mapping[int, Tensor]] | None = None,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reordering:
    """Divide the neurons of a model into experts and put each expert's side by side.

    Each layer's answer is kept on disk as soon as it is known, so that a second run, or one after
    an interruption, only does what is missing. Layers are moved when all are known; when a step
    fails the model is as it was.

    Args:
        model: A decoder, or a model that holds one, in its own precision.
        config: Number of experts and how to find them.
        activations: For ``by="coactivation"``: gives a description of the neurons of each layer
            ``(d_ff, samples)``, as `coactivation.describe` does.
        folder: Where answers are kept; None is ``config.cache``, and else the user's cache folder.
        progress: Called with the layers done and in all.

    Raises:
        ConfigError: The number of experts does not divide a layer's width, or
            ``by="coactivation"`` comes without activations.
        ModelPatchError: The blocks are of no known form, quantized or not in memory.
        MissingExtraError: The constrained solver was asked for without the ``experts`` extra.
    """
    blocks = find_blocks(model, config.layers)
    for block in blocks:
        check_movable(block)
        check_experts(block.neurons, config.experts)
    chosen = folder or (Path(config.cache) if config.cache else cache_folder("experts"))
    rows = _make_describer(blocks, config, activations)
    orders: dict[int, Tensor] = {}
    for done, block in enumerate(blocks, 1):
        orders[block.layer] = _find_order(
            block.layer, rows(block), config, PermutationCache(chosen)
        )
        if progress:
            progress(done, len(blocks))
    permute_neurons({block.layer: block for block in blocks}, orders)
    return Reordering(model, config, orders)


def _make_describer(
    blocks: Sequence[Block],
    config: ExpertConfig,
    activations: Callable[[Sequence[Block]], Mapping[int, Tensor]] | None,
) -> Callable[[Block], Tensor]:
    """Return what describes the neurons of a block."""
    if config.by != "coactivation":
        return describe_neurons
    if activations is None:
        raise ConfigError(
            "by='coactivation' needs a text to watch the neurons on: set ExpertConfig(text=...)"
        )
    seen = activations(blocks)
    return lambda block: seen[block.layer]


def _find_order(layer: int, rows: Tensor, config: ExpertConfig, cache: PermutationCache) -> Tensor:
    """Return the order of one layer's neurons on the CPU: kept, drawn or computed."""
    if config.by == "random":
        generator = torch.Generator().manual_seed(config.seed + layer)
        return torch.randperm(len(rows), generator=generator)
    key = make_cache_key(rows, config)
    order = cache.get(key, len(rows))
    if order is None:
        labels = cluster_neurons(rows, config.experts, config.solver, config.seed)
        order = order_by_expert(labels).cpu()
        cache.put(key, order)
    return order
