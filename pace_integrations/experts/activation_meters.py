"""Watching modules at work: how strongly they fire on which tokens, and which fire together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pace_integrations.errors import ConfigError
from pace_integrations.feed_forward import Block


def module_activity(x: Tensor, experts: int) -> Tensor:
    """Return the mean absolute activation per module, from ``(..., d_ff)`` to ``(..., E)``."""
    modules: Tensor = x.abs().unflatten(-1, (experts, -1)).mean(-1, dtype=torch.float32)
    return modules


@contextmanager
def watch_blocks(blocks: Sequence[Block], see: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Show the intermediate activations of every forward inside; they stay as they are.

    Args:
        blocks: Blocks to watch.
        see: Called with a layer and the activations of its tokens ``(tokens, d_ff)``.
    """

    def make_hook(layer: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def show(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            see(layer, arguments[0].detach().flatten(0, -2))

        return show

    # Before other hooks, so that what is seen is the block's own doing and not the memory's.
    handles = [b.output.register_forward_pre_hook(make_hook(b.layer), prepend=True) for b in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class UsageMeter:
    """Mean absolute activation per module and segment of one sequence.

    Args:
        blocks: Blocks to watch.
        experts: Modules per block, side by side.
        lengths: Tokens of each segment, in the order in which they are read.
    """

    def __init__(self, blocks: Sequence[Block], experts: int, lengths: Sequence[int]) -> None:
        self._blocks = blocks
        self._experts = experts
        counts = torch.tensor(lengths)
        self._segment = torch.arange(len(lengths)).repeat_interleave(counts)
        self._counts = counts.clamp(min=1)
        self._seen = {block.layer: 0 for block in blocks}
        self._sums = {b.layer: torch.zeros(len(lengths), experts) for b in blocks}

    @contextmanager
    def watch_forwards(self) -> Iterator[None]:
        """Count the tokens of the forwards inside, which follow those of earlier ones."""
        with watch_blocks(self._blocks, self._record_tokens):
            yield

    watching = watch_forwards  # its name in the first release

    @property
    def mean(self) -> Tensor:
        """Mean absolute activation ``(layers, segments, E)`` in float32 on the CPU."""
        return torch.stack([*self._sums.values()]) / self._counts[:, None]

    def _record_tokens(self, layer: int, x: Tensor) -> None:
        start = self._seen[layer]
        segment = self._segment[start : start + len(x)]
        if len(segment) < len(x):
            raise ConfigError(f"more than the {len(self._segment)} tokens announced were read")
        self._seen[layer] += len(x)
        self._sums[layer].index_add_(0, segment, module_activity(x, self._experts).cpu())


class CoactivationMeter:
    """Describes neurons by when they fire: alike are those that fire on the same tokens.

    Args:
        blocks: Blocks to watch.
        tokens: Tokens that will be read.
        samples: Most tokens that are kept, spread evenly over all.
    """

    def __init__(self, blocks: Sequence[Block], tokens: int, samples: int = 512) -> None:
        self._blocks = blocks
        kept = min(tokens, samples)
        self._wanted = torch.arange(kept) * tokens // max(kept, 1)
        self._seen = {block.layer: 0 for block in blocks}
        self._parts: dict[int, list[Tensor]] = {block.layer: [] for block in blocks}

    @contextmanager
    def watch_forwards(self) -> Iterator[None]:
        """Keep samples of the forwards inside."""
        with watch_blocks(self._blocks, self._record_tokens):
            yield

    watching = watch_forwards  # its name in the first release

    def describe_neurons(self) -> dict[int, Tensor]:
        """Return absolute activations of each layer's neurons about their mean ``(d_ff, samples)``.

        Brought to length 1, as the clustering does, rows are as near as neurons are correlated.
        """
        seen = {layer: torch.cat(parts).T.float() for layer, parts in self._parts.items()}
        return {layer: rows - rows.mean(1, keepdim=True) for layer, rows in seen.items()}

    describe = describe_neurons  # its name in the first release

    def _record_tokens(self, layer: int, x: Tensor) -> None:
        start = self._seen[layer]
        self._seen[layer] += len(x)
        inside = (self._wanted >= start) & (self._wanted < start + len(x))
        rows = (self._wanted[inside] - start).to(x.device)
        # Half of float32 is enough for correlations, and there is one of these for every layer.
        self._parts[layer].append(x[rows].abs().to("cpu", torch.bfloat16))
