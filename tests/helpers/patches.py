"""Chunked reading through a memory patch, and what a patch could leave behind."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from pace_integrations.memory import MemoryPatch, MemoryState
from pace_integrations.model._transformers import cache_argument


def tokens(count: int, seed: int = 0) -> Tensor:
    return torch.randint(3, 128, (1, count), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def read(
    model: PreTrainedModel,
    patch: MemoryPatch,
    state: MemoryState,
    ids: Tensor,
    sizes: Iterable[int],
    cuts: Iterable[int] = (),
    cache: DynamicCache | None = None,
) -> Tensor:
    """Logits of chunked reading; the step at the end stays open."""
    cache = DynamicCache(config=model.config) if cache is None else cache
    out = []
    for part in ids.split(list(sizes), dim=1):
        with patch.reading(state, cuts=list(cuts)):
            out.append(model(part, **cache_argument(model, cache)).logits)
    return torch.cat(out, dim=1)


def close(a: MemoryState, b: MemoryState, atol: float = 1e-4) -> None:
    one, two = a.tensors(), b.tensors()
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=atol)


def traces(model: nn.Module) -> dict[str, object]:
    """All that a patch could leave behind."""
    hooks = ("_forward_pre_hooks", "_forward_hooks", "_forward_pre_hooks_with_kwargs")
    return {
        "modules": {n: type(m) for n, m in model.named_modules()},
        "attributes": {n: sorted(vars(m)) for n, m in model.named_modules()},
        "hooks": {(n, h): dict(getattr(m, h)) for n, m in model.named_modules() for h in hooks},
        "buffers": [n for n, _ in model.named_buffers()],
        "state": {n: t.data_ptr() for n, t in model.state_dict().items()},
    }
