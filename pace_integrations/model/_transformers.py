"""Every touch of Transformers' internals: what a new release may rename is mended here.

The rest of the package calls the model through `run_decoder` and `next_token_logits` and takes the
cache classes and the attention registries from this module.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

# Names of the forward's cache argument, the newest first (renamed in Transformers 5.24).
CACHE_ARGUMENTS = ("cache", "past_key_values")


@lru_cache(maxsize=256)
def _forward_parameters(kind: type[nn.Module]) -> frozenset[str]:
    """Return the names of the parameters that the forward of a model class takes."""
    return frozenset(inspect.signature(kind.forward).parameters)


def takes_argument(module: nn.Module, name: str) -> bool:
    """Return whether a module's forward takes an argument of this name."""
    return name in _forward_parameters(type(module))


def cache_argument(module: nn.Module, cache: Cache) -> dict[str, Cache]:
    """Return the cache as a keyword argument, under the name that this model's forward takes.

    Raises:
        TypeError: The forward takes a cache under none of the known names.
    """
    for name in CACHE_ARGUMENTS:
        if takes_argument(module, name):
            return {name: cache}
    known = " or ".join(CACHE_ARGUMENTS)
    raise TypeError(f"{type(module).__name__}.forward takes no {known}: it cannot keep a KV cache")


def run_decoder(model: PreTrainedModel, ids: Tensor, cache: Cache) -> None:
    """Prefill token ids ``(batch, tokens)`` into a cache, without the LM head."""
    decoder = model.get_decoder()
    decoder(input_ids=ids, use_cache=True, **cache_argument(decoder, cache))


def next_token_logits(
    model: PreTrainedModel, ids: Tensor, cache: Cache, positions: Tensor | None = None
) -> Tensor:
    """Return the logits ``(batch, vocabulary)`` of the token after each row, in float32.

    Args:
        model: A causal language model.
        ids: Token ids ``(batch, tokens)`` that follow what the cache holds.
        cache: Cache to extend.
        positions: Positions ``(batch, tokens)``, where they are not simply the next ones.
    """
    extra: dict[str, Any] = {} if positions is None else {"position_ids": positions}
    output = model(
        input_ids=ids, use_cache=True, logits_to_keep=1, **cache_argument(model, cache), **extra
    )
    return output.logits[:, -1].to(torch.float32)  # type: ignore[no-any-return]
