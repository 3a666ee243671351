"""Where a model looked while it wrote: its attention from an answer's tokens to each page."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pace_integrations.model._transformers import Cache, PreTrainedModel
from pace_integrations.model.forward import ForwardContext, predict_next
from pace_integrations.model.kv_cache.attention import record_queries
from pace_integrations.model.kv_cache.int8 import unpack_int8
from pace_integrations.model.kv_cache.segments import SegmentLayer
from pace_integrations.model.pages import SINKS

Head = tuple[int, int]  # layer and key head, both 0-based


def weigh_pages(
    model: PreTrainedModel,
    ids: Sequence[int],
    cache: Cache,
    spans: Sequence[tuple[int, int]],
    *,
    layers: Sequence[int],
    heads: Sequence[Head],
    around: ForwardContext,
) -> list[float]:
    """Return how much some tokens attend to each of several pages before them.

    The first tokens of a page are left out: they are its attention sink and get mass whatever is
    asked. Dividing by the square root of the length keeps long pages from winning by length.

    Args:
        model: A causal language model.
        ids: The tokens that look, such as an answer's; they are read into the cache.
        cache: One row, which holds the pages.
        spans: First token of each page in the cache, and one past its last.
        layers: 0-based layers that are looked at; none gives no weights.
        heads: Key heads that count, or none for all heads of the layers.
        around: Makes the context that the forward runs in.

    Returns:
        A weight for each page; empty where the cache of a layer cannot be looked into.
    """
    kept = [cache.layers[i] for i in layers if i < len(cache.layers)]
    if not layers or len(kept) < len(layers) or not all(isinstance(x, SegmentLayer) for x in kept):
        return []
    with record_queries() as queries:
        predict_next(model, torch.tensor([[*ids]], device=model.device), cache, around=around)
    weights = torch.zeros(len(spans))
    for i, layer in zip(layers, kept, strict=True):
        assert isinstance(layer, SegmentLayer)
        mass = _attend(queries[i][0].float(), _dense_keys(layer, queries[i]))
        wanted = [head for at, head in heads if at == i]
        mass = mass[wanted] if heads else mass
        for page, (start, end) in enumerate(spans):
            first = min(start + SINKS, end - 1)
            weights[page] += float(mass[:, first:end].sum()) / (end - first) ** 0.5
    return [float(weight) for weight in weights]


def _attend(query: Tensor, keys: Tensor) -> Tensor:
    """Return what each key gets on average ``(key heads, tokens)``; the last keys are the queries'.

    Args:
        query: ``(heads, queries, size)``, float32.
        keys: ``(key heads, tokens, size)``, float32.
    """
    count, tokens = query.shape[1], keys.shape[1]
    grouped = query.unflatten(0, (keys.shape[0], -1))
    scores = grouped @ keys[:, None].transpose(2, 3) * query.shape[-1] ** -0.5
    later = torch.ones(count, tokens, dtype=torch.bool, device=keys.device)
    scores = scores.masked_fill(later.triu(tokens - count + 1), float("-inf"))
    mass: Tensor = scores.softmax(-1).mean(2).sum(1)
    return mass


def _dense_keys(layer: SegmentLayer, query: Tensor) -> Tensor:
    """Return the keys of a layer's only row ``(key heads, tokens, size)``, float32."""
    keys = torch.cat([keys for keys, _ in layer.list_segments()], dim=2)
    if layer.packs:
        keys = unpack_int8(keys, query.shape[-1], query.dtype)
    return keys[0].float()
