"""Controls for the memory: what it does to activations, with the part that could help taken out.

Mixing makes activations shorter, and that alone changes what a model predicts. Only what a memory
does beyond it is due to what it remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pace_integrations.memory.lookup import inverse_norms

# Makes the activation that is passed on, from the one before the memory and the one after it.
ControlRule = Callable[[Tensor, Tensor], Tensor]


class MemoryControl:
    """A pair of hooks around the memory's own, on the same projections.

    Args:
        modules: Output projections, which carry the memory already.
        rule: Makes what is passed on, from before and after the memory ``(batch, tokens,
            features)`` both.
        outputs: Whether the memory is mixed into what the projections give, not what they take.
    """

    def __init__(
        self, modules: Iterable[nn.Module], rule: ControlRule, *, outputs: bool = False
    ) -> None:
        self._rule = rule
        self._before: dict[nn.Module, Tensor] = {}
        self._handles = []
        for module in modules:
            register = module.register_forward_hook if outputs else module.register_forward_pre_hook
            # Hooks run in order: one in front of the memory's, one behind it.
            self._handles.append(register(self._note_before, prepend=True))
            self._handles.append(register(self._replace_after))

    def remove(self) -> None:
        """Leave the projections with their memory alone."""
        for handle in self._handles:
            handle.remove()

    def _note_before(self, module: nn.Module, args: tuple[Any, ...], *output: Tensor) -> None:
        self._before[module] = (output or args)[0]

    def _replace_after(self, module: nn.Module, args: tuple[Any, ...], *output: Tensor) -> Any:  # noqa: ANN401 - as the kind of hook asks
        passed = self._rule(self._before.pop(module), (output or args)[0])
        return passed if output else (passed, *args[1:])


def scale_norms(before: Tensor, after: Tensor) -> Tensor:
    """Return the activations before the memory, as long as the memory made them."""
    x = before.float()
    ratio = torch.linalg.vector_norm(after.float(), dim=-1) * inverse_norms(x)
    scaled: Tensor = (x * ratio[..., None]).to(before.dtype)
    return scaled
