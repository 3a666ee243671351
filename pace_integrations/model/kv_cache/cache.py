"""KV caches: made for a model, forked without copying, and saved."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch

from pace_integrations.config import KvDtype
from pace_integrations.errors import ConfigError, PaceError, SessionFileError
from pace_integrations.model._transformers import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    PreTrainedModel,
    drop_last_tokens,
    replace_growing_layers,
)
from pace_integrations.model.kv_cache.attention import can_segment
from pace_integrations.model.kv_cache.hippocampus import HippocampusLayer
from pace_integrations.model.kv_cache.segments import PackedLayer, SegmentLayer

Layer = TypeVar("Layer")

# These grow by concatenation and never write into a tensor, so a fork may share it.
_SHAREABLE = (DynamicLayer, DynamicSlidingWindowLayer)


def new_cache(model: PreTrainedModel, kv: KvDtype = "full") -> Cache:
    """Return an empty cache with the layer kinds (full, sliding, ...) that the model needs.

    Args:
        model: The model.
        kv: ``"int8"`` packs full-attention layers in eight bits; windows are small anyway.

    Raises:
        ConfigError: No layer of the model can be packed.
    """
    cache = DynamicCache(config=model.config)
    if can_segment(model):
        replace_growing_layers(cache, PackedLayer if kv == "int8" else SegmentLayer)
    elif kv == "int8":
        raise ConfigError("this model's attention cannot use packed keys and values; leave kv out")
    return cache


def reserve_room(cache: Cache, tokens: int) -> None:
    """Announce that `tokens` more will come, where that saves copying."""
    for layer in cache.layers:
        if isinstance(layer, SegmentLayer):
            layer.reserve(tokens)


def drop_tokens(cache: Cache, tokens: int) -> bool:
    """Remove the last `tokens` and return True, where every layer can; otherwise change nothing."""
    layers = [x for x in cache.layers if isinstance(x, SegmentLayer) or type(x) is DynamicLayer]
    if len(layers) < len(cache.layers):
        return False
    for layer in layers:
        layer.crop(-tokens) if isinstance(layer, SegmentLayer) else drop_last_tokens(layer, tokens)
    return True


def fork_cache(cache: Cache) -> Cache:
    """Return a cache that continues from `cache` and leaves it as it is.

    Layers of growing keys and values share their tensors with the original until they grow;
    other kinds (recurrent states) are copied.
    """
    twin = copy.copy(cache)
    twin.layers = [_fork_layer(layer) for layer in cache.layers]
    return twin


def _fork_layer(layer: Layer) -> Layer | SegmentLayer | HippocampusLayer:
    if isinstance(layer, SegmentLayer | HippocampusLayer):
        return layer.fork()
    return copy.copy(layer) if type(layer) in _SHAREABLE else copy.deepcopy(layer)


def cache_tensors(cache: Cache) -> dict[str, tuple[torch.Tensor, ...]]:
    """Return a cache as named tensors, mostly ``(1, heads, tokens, head size)``, shared with it.

    Each comes in parts along its tokens, as the cache holds them: nothing is copied.

    Raises:
        PaceError: The model keeps state of a kind that cannot be saved (recurrent layers).
    """
    named: dict[str, tuple[torch.Tensor, ...]] = {}
    windows = [layer for layer in cache.layers if isinstance(layer, HippocampusLayer)]
    if windows:
        for i, window in enumerate(windows):
            named |= {f"{i}.{name}": (tensor,) for name, tensor in window.list_tensors().items()}
        return named
    for i, layer in _growing_layers(cache):
        if isinstance(layer, SegmentLayer):
            parts = zip(("keys", "values"), zip(*layer.list_segments(), strict=True), strict=False)
            named |= {f"{i}.{name}": tensors for name, tensors in parts}
        elif layer.keys is not None and layer.values is not None:
            named |= {f"{i}.keys": (layer.keys,), f"{i}.values": (layer.values,)}
        if isinstance(layer, DynamicSlidingWindowLayer):
            # Past the window the tensors no longer tell how many tokens there were.
            named[f"{i}.length"] = (torch.tensor(layer.cumulative_length),)
    return named


def restore_cache(
    model: PreTrainedModel, named: Mapping[str, torch.Tensor], kv: KvDtype = "full"
) -> Cache:
    """Restore a cache of `model` from what `cache_tensors` gave.

    Raises:
        SessionFileError: Tensors are missing, superfluous or do not fit each other.
        PaceError: The model keeps state of a kind that cannot be saved.
    """
    cache, left = new_cache(model, kv), dict(named)
    for i, layer in _growing_layers(cache):
        if f"{i}.keys" in left or f"{i}.values" in left:
            keys, values = (t.to(model.device) for t in _take_pair(i, left))
            if isinstance(layer, SegmentLayer):
                layer.hold_pair(keys, values)
                continue
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
        if isinstance(layer, DynamicSlidingWindowLayer) and f"{i}.length" in left:
            layer.cumulative_length = int(left.pop(f"{i}.length"))
    if left:
        raise SessionFileError(f"the saved cache does not fit the model: {min(left)} is left over")
    if len({layer.get_seq_length() for _, layer in _growing_layers(cache)}) > 1:
        raise SessionFileError("the saved cache does not hold the same tokens in every layer")
    return cache


def _take_pair(layer: int, left: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Take a layer's keys and values out of `left`."""
    names = [f"{layer}.{name}" for name in ("keys", "values")]
    for name in names:
        if name not in left or left[name].dim() != 4 or left[name].shape[0] != 1:
            raise SessionFileError(f"the saved cache lacks {name} of one sequence")
    keys, values = (left.pop(name) for name in names)
    if keys.shape[:3] != values.shape[:3] or keys.dtype != values.dtype:
        raise SessionFileError(f"the saved cache has {layer}.keys and values that do not match")
    return keys, values


def _growing_layers(cache: Cache) -> Iterator[tuple[int, SegmentLayer | DynamicLayer]]:
    for i, layer in enumerate(cache.layers):
        if type(layer) not in (PackedLayer, SegmentLayer, *_SHAREABLE):
            raise PaceError(f"a {type(layer).__name__} cannot be saved; keep the session in memory")
        assert isinstance(layer, SegmentLayer | DynamicLayer)
        yield i, layer
