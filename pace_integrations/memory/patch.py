"""Attaching memory banks to a model: a hook on the last projection of feed-forward blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ModelPatchError
from pace_integrations.feed_forward import find_projections
from pace_integrations.memory.expert_split import count_modules
from pace_integrations.memory.projection import describe_projection
from pace_integrations.memory.state import MemoryState


class _ActiveState:
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

    def run(self, layer: int, x: Tensor, outputs: Tensor | None = None) -> Tensor:
        """Return what a forward gives, of any leading shape, with the memory mixed in.

        Args:
            layer: 0-based layer.
            x: Activations.
            outputs: What the block makes of them, if that is what the memory is mixed into.
        """
        batch, source = self._state.batch, x if outputs is None else outputs
        if x.numel() % (batch * x.shape[-1]):
            raise ModelPatchError(f"activations {tuple(x.shape)} do not split into {batch} rows")
        # Some blocks flatten (batch, tokens) before their projections.
        rows = x.reshape(batch, -1, x.shape[-1]).split(1)
        made = rows if source is x else source.reshape(batch, -1, source.shape[-1]).split(1)
        done = [self._apply_row(layer, i, rows[i], made[i]) for i in range(batch)]
        return (done[0] if batch == 1 else torch.cat(done)).reshape(source.shape)

    def _apply_row(self, layer: int, index: int, x: Tensor, source: Tensor) -> Tensor:
        if self._columns is None:
            return self._apply_tokens(layer, index, x, source)
        columns = self._columns[index].to(x.device)
        if not len(columns):
            return source
        picked = x.index_select(1, columns)
        given = picked if source is x else source.index_select(1, columns)
        return source.index_copy(1, columns, self._apply_tokens(layer, index, picked, given))

    def _apply_tokens(self, layer: int, index: int, x: Tensor, source: Tensor) -> Tensor:
        memory, outputs = self._state.rows(layer)[index], None if source is x else source
        return memory.read(x, self._cuts, outputs) if self._write else memory.ask(x, outputs)


class _BankHook:
    """Hook of one output projection: before it for activations, after it for outputs."""

    def __init__(self, patch: MemoryPatch, layer: int) -> None:
        self._patch = patch
        self._layer = layer

    def attach(self, module: nn.Module) -> RemovableHandle:
        """Register itself as the hook of a projection."""
        if self._patch.config.values == "outputs":
            return module.register_forward_hook(self._mix_after)
        return module.register_forward_pre_hook(self._mix_before)

    def _mix_before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        active = self._patch._active
        return None if active is None else (active.run(self._layer, args[0]), *args[1:])

    def _mix_after(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        active = self._patch._active
        return None if active is None else active.run(self._layer, args[0], output)


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
            if not beside and _has_bank(module):
                raise ModelPatchError(f"layer {layer} carries a memory already; remove that first")
        self.config = config
        self.layers = tuple(projections)
        self._active: _ActiveState | None = None
        self._specs = {
            i: describe_projection(m, outputs=config.values == "outputs")
            for i, m in projections.items()
        }
        for spec in self._specs.values():
            # Says here what does not fit, not at the first token.
            count_modules(spec.features, config)
        self._handles = [_BankHook(self, i).attach(m) for i, m in projections.items()]

    def remove(self) -> None:
        """Take every hook off the model. Calling it again does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @property
    def writes_while_decoding(self) -> bool:
        """Return True if question and answer are stored too."""
        return self.config.write_while_decoding

    def new_state(self, batch: int = 1) -> MemoryState:
        """Return an empty memory for `batch` sequences."""
        return MemoryState(self.config, self._specs, batch)

    @contextmanager
    def reading(
        self, state: MemoryState, *, cuts: Sequence[int] = (), mask: Tensor | None = None
    ) -> Iterator[MemoryState]:
        """Read the tokens of the forwards inside into `state`.

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
            with self._activate(_ActiveState(state, write=True, cuts=cuts, mask=mask)):
                yield state
        except BaseException:
            state.restore(before)
            raise

    @contextmanager
    def asking(self, state: MemoryState, *, mask: Tensor | None = None) -> Iterator[MemoryState]:
        """Look the tokens of the forwards inside up in `state`, whose banks are only read.

        With ``config.write_while_decoding`` the tokens are read as in `reading`; a caller that
        wants to keep the state as it is then passes a clone.

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
        with self._activate(_ActiveState(state, write=False, cuts=(), mask=mask)):
            yield state

    @contextmanager
    def _activate(self, active: _ActiveState) -> Iterator[None]:
        if self._active is not None:
            raise ModelPatchError("a memory state is active already; states cannot be nested")
        self._active = active
        try:
            yield
        finally:
            self._active = None


def _has_bank(module: nn.Module) -> bool:
    """Return True if a projection has a bank already."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return any(isinstance(getattr(hook, "__self__", None), _BankHook) for hook in hooks)
