"""Experimental: only the most active modules take part, the others are set to zero.

This shows how much of a network an answer needs. Nothing is skipped in time: the activations are
computed and then masked, because a sparse product is slower than a dense one at these shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pace_integrations.config import Choice, ExpertConfig
from pace_integrations.errors import ConfigError
from pace_integrations.experts.activation_meters import module_activity
from pace_integrations.experts.cluster import check_experts
from pace_integrations.feed_forward import Block, find_blocks


def keep_active(x: Tensor, experts: int, active: float, choice: Choice) -> Tensor:
    """Set all but the most active modules of activations to zero.

    Args:
        x: Activations ``(..., tokens, d_ff)``.
        experts: Modules, side by side.
        active: Share of them that stays, rounded up to whole ones.
        choice: ``"token"`` chooses for each token, ``"chunk"`` for all tokens here together.
    """
    scores = module_activity(x, experts)
    if choice == "chunk":
        scores = scores.mean(-2, keepdim=True)
    chosen = scores.topk(math.ceil(active * experts), dim=-1).indices
    mask = torch.zeros_like(scores, dtype=x.dtype).scatter_(-1, chosen, 1)
    masked: Tensor = x.unflatten(-1, (experts, -1)) * mask[..., None]
    return masked.flatten(-2)


class ExpertMask:
    """Switches modules of a model on and off while it runs.

    Args:
        model: A decoder, or a model that holds one, whose neurons lie expert by expert.
        config: Experts, and the share of them that is active.

    Raises:
        ConfigError: No share is set, or the experts do not divide a layer's width.
        ModelPatchError: The blocks are of no known form.
    """

    def __init__(self, model: nn.Module, config: ExpertConfig) -> None:
        if config.active is None:
            raise ConfigError("nothing to switch: set ExpertConfig(active=...) to a share")
        self._config, self._active = config, config.active
        blocks = find_blocks(model, config.layers)
        for block in blocks:
            check_experts(block.neurons, config.experts)
        self._handles = [self._attach_hook(block) for block in blocks]

    def remove(self) -> None:
        """Leave all modules on again."""
        for handle in self._handles:
            handle.remove()

    def _attach_hook(self, block: Block) -> RemovableHandle:
        def mask_inactive(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            x, config = arguments[0], self._config
            return keep_active(x, config.experts, self._active, config.choice), *arguments[1:]

        # Before the memory, which is to see what the block gives.
        return block.output.register_forward_pre_hook(mask_inactive, prepend=True)


@contextmanager
def mask_experts(model: nn.Module, config: ExpertConfig) -> Iterator[ExpertMask]:
    """Mask experts in the forwards inside."""
    switch = ExpertMask(model, config)
    try:
        yield switch
    finally:
        switch.remove()
