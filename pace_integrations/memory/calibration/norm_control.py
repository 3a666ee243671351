"""A control for the memory: its effect on the lengths of activations, without their content.

Mixing makes activations shorter, and that alone changes what a model predicts. Only what a memory
does beyond it is due to what it remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pace_integrations.memory.lookup import inverse_norms


@contextmanager
def record_inputs(modules: Iterable[nn.Module], *, outputs: bool) -> Iterator[dict[Any, Tensor]]:
    """Notes what the projections are given, or what they give.

    Enter it before the memory is attached, and `lengths_only` after it: hooks run in the order in
    which they were registered.

    Args:
        modules: Output projections.
        outputs: Whether the memory is mixed into what they give.

    Yields:
        The activations before the memory, by module.
    """
    seen: dict[Any, Tensor] = {}

    def note(module: nn.Module, args: tuple[Any, ...], *output: Tensor) -> None:
        seen[module] = (output or args)[0]

    with _hook_modules(modules, note, outputs=outputs):
        yield seen


@contextmanager
def keep_norms_only(
    modules: Iterable[nn.Module], seen: dict[Any, Tensor], *, outputs: bool
) -> Iterator[None]:
    """Passes on what came before the memory, as long as the memory made it."""

    def change(module: nn.Module, args: tuple[Any, ...], *output: Tensor) -> Any:  # noqa: ANN401 - as the kind of hook asks
        before, after = seen.pop(module), (output or args)[0]
        ratio = torch.linalg.vector_norm(after.float(), dim=-1) * inverse_norms(before.float())
        scaled = (before.float() * ratio[..., None]).to(before.dtype)
        return scaled if output else (scaled, *args[1:])

    with _hook_modules(modules, change, outputs=outputs):
        yield


@contextmanager
def _hook_modules(modules: Iterable[nn.Module], hook: Any, *, outputs: bool) -> Iterator[None]:  # noqa: ANN401 - either kind of hook
    with ExitStack() as stack:
        for module in modules:
            register = module.register_forward_hook if outputs else module.register_forward_pre_hook
            stack.callback(register(hook).remove)
        yield
