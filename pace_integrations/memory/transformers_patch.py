"""Memory for plain Transformers use: each forward of the model continues its sequences."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor, nn

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ModelPatchError
from pace_integrations.feed_forward import find_decoder
from pace_integrations.memory.patch import MemoryPatch
from pace_integrations.memory.state import MemoryState


class PatchedModel:
    """The memory of the sequences that a model is running; `patch_model` gives one.

    The first forward makes the state, for as many sequences as it has; later forwards continue
    them. A two-dimensional ``attention_mask`` tells padding from tokens.

    Attributes:
        patch: The banks on the model.
    """

    def __init__(
        self, model: nn.Module, config: MemoryConfig, modules: Sequence[str] | None = None
    ) -> None:
        self.patch = MemoryPatch(model, config, modules=modules)
        decoder = find_decoder(model) if modules is None else model
        self._signature = inspect.signature(decoder.forward)
        self._state: MemoryState | None = None
        self._asking = False
        self._running: AbstractContextManager[MemoryState] | None = None
        self._handles = [
            decoder.register_forward_pre_hook(self._enter_forward, with_kwargs=True),
            decoder.register_forward_hook(self._leave_forward),
        ]

    @property
    def layers(self) -> tuple[int, ...]:
        """0-based layers that carry a bank."""
        return self.patch.layers

    def state(self) -> MemoryState | None:
        """Return the memory of the sequences so far, or None before the first forward."""
        self._abandon_forward()
        return self._state

    def reset(self) -> None:
        """Forget the sequences; the next forward starts new ones."""
        self._abandon_forward()
        self._state = None

    def flush(self) -> None:
        """Store the tokens of the open step, as at the end of a document."""
        state = self.state()
        if state is not None:
            state.flush()

    @contextmanager
    def asking(self) -> Iterator[PatchedModel]:
        """Look tokens of the forwards inside up and store none (see `MemoryPatch.asking`)."""
        self._asking, before = True, self._asking
        try:
            yield self
        finally:
            self._asking = before

    def remove(self) -> None:
        """Take every hook off the model."""
        self._abandon_forward()
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.patch.remove()

    def _enter_forward(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._abandon_forward()
        given = self._signature.bind_partial(*args, **kwargs).arguments
        given = {**given, **given.get("kwargs", {})}
        batch, tokens = _batch_shape(given)
        if self._state is None:
            self._state = self.patch.new_state(batch)
        if self._state.batch != batch:
            raise ModelPatchError(
                f"the memory holds {self._state.batch} sequences and the forward has {batch}; "
                "call reset() to start new ones"
            )
        mask = given.get("attention_mask")
        # Masks of other shapes are attention patterns that Transformers made; they hold no padding.
        mask = mask[:, -tokens:] if isinstance(mask, Tensor) and mask.ndim == 2 else None
        open_ = self.patch.asking if self._asking else self.patch.reading
        self._running = open_(self._state, mask=mask)
        self._running.__enter__()

    def _leave_forward(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)

    def _abandon_forward(self) -> None:
        """Undo a forward that raised: it never came to `_leave_forward`."""
        running, self._running = self._running, None
        if running is not None:
            error = ModelPatchError("the forward did not reach its end")
            running.__exit__(ModelPatchError, error, None)


@contextmanager
def patch_model(
    model: nn.Module, config: MemoryConfig, *, modules: Sequence[str] | None = None
) -> Iterator[PatchedModel]:
    """Give a model a memory for the time of the context.

    Args:
        model: A decoder-only model, such as Transformers' ``AutoModelForCausalLM`` gives.
        config: Settings of the banks.
        modules: Names of the output projections of all layers, for a model whose structure is not
            known.

    Yields:
        The memory: ``state()``, ``reset()``, ``flush()``, ``asking()``. On exit everything is
        taken off the model, also after an exception.

    Raises:
        ModelPatchError: The model has no block of a known form or carries a memory already, or a
            forward has another number of sequences than the ones before.
    """
    memory = PatchedModel(model, config, modules)
    try:
        yield memory
    finally:
        memory.remove()


def _batch_shape(given: dict[str, Any]) -> tuple[int, int]:
    """Return sequences and tokens of a forward."""
    for name in ("input_ids", "inputs_embeds"):
        if isinstance(given.get(name), Tensor):
            return int(given[name].shape[0]), int(given[name].shape[1])
    raise ModelPatchError("the memory needs a forward with input_ids or inputs_embeds")
