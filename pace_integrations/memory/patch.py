"""Attaching memory banks to a model: a pre-hook on the last projection of feed-forward blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pace_integrations.blocks import find_projections, width
from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ModelPatchError
from pace_integrations.memory.modules import count
from pace_integrations.memory.state import MemoryState


class _Active:
    """A state at work in the forwards of one context."""

    def __init__(
        self, state: MemoryState, *, write: bool, cuts: Sequence[int], mask: Tensor | None
    ) -> None:
        if mask is not None and mask.shape[0] != state.batch:
            raise ModelPatchError(f"the mask has {mask.shape[0]} rows, the memory {state.batch}")
        self._state = state
        self._write = write
        self._cuts = cuts
        # Known on the host once per forward: a row's tokens without its padding.
        full = mask is None or bool(mask.all())
        self._columns = None if mask is None or full else [r.nonzero()[:, 0] for r in mask.bool()]

    def run(self, layer: int, x: Tensor) -> Tensor:
        """The activations of a forward, any leading shape, with the memory mixed in."""
        batch = self._state.batch
        if x.numel() % (batch * x.shape[-1]):
            raise ModelPatchError(f"activations {tuple(x.shape)} do not split into {batch} rows")
        # Some blocks flatten (batch, tokens) before their projections.
        rows = x.reshape(batch, -1, x.shape[-1]).unbind(0)
        done = [self._row(layer, i, row[None]) for i, row in enumerate(rows)]
        if batch == 1:
            return x if done[0] is rows[0] else done[0].reshape(x.shape)
        return torch.cat(done).reshape(x.shape)

    def _row(self, layer: int, index: int, x: Tensor) -> Tensor:
        if self._columns is None:
            return self._tokens(layer, index, x)
        columns = self._columns[index].to(x.device)
        if not len(columns):
            return x
        out = self._tokens(layer, index, x.index_select(1, columns))
        return x.index_copy(1, columns, out)

    def _tokens(self, layer: int, index: int, x: Tensor) -> Tensor:
        memory = self._state.rows(layer)[index]
        return memory.read(x, self._cuts) if self._write else memory.ask(x)


class _BankHook:
    """Pre-hook of one output projection."""

    def __init__(self, patch: MemoryPatch, layer: int) -> None:
        self._patch = patch
        self._layer = layer

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        active = self._patch._active
        if active is None:
            return None
        return active.run(self._layer, args[0]), *args[1:]


class MemoryPatch:
    """Memory banks on the feed-forward blocks of a model.

    The patch changes nothing until a state is active: `reading` and `asking` activate one for the
    forwards inside them. One patch serves any number of states, one after the other; the model is
    driven by one thread.

    Args:
        model: A decoder-only model; its feed-forward blocks are found by their structure.
        config: Settings of the banks. ``config.layers`` None takes the paper's relative depths.
        modules: Names of the output projections of all layers, in order, for a model whose
            structure is not known.
        beside: Whether the model may carry another memory, which the caller keeps inactive.

    Attributes:
        config: Settings of the banks.
        layers: 0-based layers that carry a bank.

    Raises:
        ModelPatchError: No block of a known form is found, a layer does not exist, or the model
            carries a memory already.
        ConfigError: ``experts`` does not divide the width of the activations.
    """

    def __init__(
        self,
        model: nn.Module,
        config: MemoryConfig,
        *,
        modules: Sequence[str] | None = None,
        beside: bool = False,
    ) -> None:
        projections = find_projections(model, config.layers, modules)
        for layer, module in projections.items():
            if not beside and any(
                isinstance(h, _BankHook) for h in module._forward_pre_hooks.values()
            ):
                raise ModelPatchError(f"layer {layer} carries a memory already; remove that first")
        self.config = config
        self.layers = tuple(projections)
        self._active: _Active | None = None
        self._places = {i: (width(m), _device(m)) for i, m in projections.items()}
        for features, _ in self._places.values():
            count(features, config)  # says here what does not fit, not at the first token
        self._handles = [
            m.register_forward_pre_hook(_BankHook(self, i)) for i, m in projections.items()
        ]

    def remove(self) -> None:
        """Takes every hook off the model. Calling it again does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def new_state(self, batch: int = 1) -> MemoryState:
        """An empty memory for `batch` sequences."""
        return MemoryState(self.config, self._places, batch)

    @contextmanager
    def reading(
        self, state: MemoryState, *, cuts: Sequence[int] = (), mask: Tensor | None = None
    ) -> Iterator[MemoryState]:
        """Reads the tokens of the forwards inside into `state`.

        The result does not depend on how tokens are split into forwards. If a forward raises, the
        state is as it was before.

        Args:
            state: Memory of the sequences; their positions advance.
            cuts: Sorted positions in the sequence at which a new step starts, such as starts of
                documents. Those outside the forward do no harm.
            mask: True for tokens, False for padding ``(batch, C)``.

        Raises:
            ModelPatchError: Another state is active.
        """
        before = state.snapshot()
        try:
            with self._activated(_Active(state, write=True, cuts=cuts, mask=mask)):
                yield state
        except BaseException:
            state.restore(before)
            raise

    @contextmanager
    def asking(self, state: MemoryState, *, mask: Tensor | None = None) -> Iterator[MemoryState]:
        """Looks the tokens of the forwards inside up in `state`, whose banks are only read.

        With ``config.write_while_decoding`` the tokens are read as in `reading`; whoever wants to
        keep the state as it is then passes a clone.

        Args:
            state: Memory of the sequences.
            mask: True for tokens, False for padding ``(batch, C)``.

        Raises:
            ModelPatchError: Another state is active.
        """
        if self.config.write_while_decoding:
            with self.reading(state, mask=mask):
                yield state
            return
        with self._activated(_Active(state, write=False, cuts=(), mask=mask)):
            yield state

    @contextmanager
    def _activated(self, active: _Active) -> Iterator[None]:
        if self._active is not None:
            raise ModelPatchError("a memory state is active already; states cannot be nested")
        self._active = active
        try:
            yield
        finally:
            self._active = None


def _device(module: nn.Module) -> torch.device:
    """Where a projection's weight is; a bank moves along if its inputs come from elsewhere."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    return torch.device("cpu") if device.type == "meta" else device
