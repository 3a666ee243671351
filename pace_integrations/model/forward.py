"""Chunked prefill: token ids go through the decoder into the cache, never through the LM head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from pace_integrations.model._transformers import run_decoder
from pace_integrations.model.kv_cache.attention import segmented

Around = Callable[[], AbstractContextManager[object]]


def prefill(
    model: PreTrainedModel, ids: torch.Tensor, cache: Cache, *, chunk: int, around: Around
) -> Iterator[int]:
    """Reads `ids` into `cache`, `chunk` tokens at a time.

    Args:
        model: A causal language model.
        ids: Token ids ``(batch, tokens)`` that follow what the cache holds.
        cache: Cache to extend.
        chunk: Most tokens of one forward.
        around: Makes the context that each forward runs in.

    Yields:
        Tokens read so far. Between two yields nothing is held: no grad mode, no hook state.
    """
    done = 0
    for part in ids.split(chunk, dim=1):
        with torch.inference_mode(), segmented(model), around():
            run_decoder(model, part, cache)
        done += part.shape[1]
        yield done
