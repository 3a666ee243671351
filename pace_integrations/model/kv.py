"""Key-value caches: made for a model, and forked without copying."""

from __future__ import annotations

import copy
from typing import TypeVar

from transformers import PreTrainedModel
from transformers.cache_utils import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

Layer = TypeVar("Layer")

# These grow by concatenation and never write into a tensor, so a fork may share it.
_SHAREABLE = (DynamicLayer, DynamicSlidingWindowLayer)


def new_cache(model: PreTrainedModel) -> Cache:
    """An empty cache with the layer kinds (full, sliding, ...) that the model needs."""
    return DynamicCache(config=model.config)


def fork(cache: Cache) -> Cache:
    """A cache that continues from `cache` and leaves it as it is.

    Layers of growing keys and values share their tensors with the original until they grow;
    other kinds (recurrent states) are copied.
    """
    twin = copy.copy(cache)
    twin.layers = [_fork_layer(layer) for layer in cache.layers]
    return twin


def _fork_layer(layer: Layer) -> Layer:
    return copy.copy(layer) if type(layer) in _SHAREABLE else copy.deepcopy(layer)
