"""The forwards of a model: prefill, the next token's logits, and the losses of a text.

Each runs with segmented attention and inside a context of the caller's, such as a memory that
reads along. Nothing is held between two forwards: no grad mode, no hook, no attention setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from pace_integrations.model._transformers import (
    Cache,
    PreTrainedModel,
    continued_logits,
    next_token_logits,
    run_decoder,
    text_logits,
)
from pace_integrations.model.kv_cache.attention import segmented_attention

ForwardContext = Callable[[], AbstractContextManager[object]]

_SLICE = 256  # positions whose logits are held in float32 at a time


def prefill(
    model: PreTrainedModel, ids: Tensor, cache: Cache, *, chunk: int, around: ForwardContext
) -> Iterator[int]:
    """Read `ids` into `cache`, `chunk` tokens at a time, never through the LM head.

    Args:
        model: A causal language model.
        ids: Token ids ``(batch, tokens)`` that follow what the cache holds.
        cache: Cache to extend.
        chunk: Most tokens of one forward.
        around: Makes the context that each forward runs in.

    Yields:
        Tokens read so far.
    """
    done = 0
    for part in ids.split(chunk, dim=1):
        with torch.inference_mode(), segmented_attention(model), around():
            run_decoder(model, part, cache)
        done += part.shape[1]
        yield done


def predict_next(
    model: PreTrainedModel,
    ids: Tensor,
    cache: Cache,
    *,
    around: ForwardContext,
    positions: Tensor | None = None,
) -> Tensor:
    """Extend a cache and return the logits ``(batch, vocabulary)`` of the next tokens, in float32.

    Args:
        model: A causal language model.
        ids: Token ids ``(batch, tokens)`` that follow what the cache holds.
        cache: Cache to extend.
        around: Makes the context that the forward runs in.
        positions: Positions ``(batch, tokens)``, where they are not simply the next ones.
    """
    with torch.inference_mode(), segmented_attention(model), around():
        return next_token_logits(model, ids, cache, positions)


def predict_last(
    model: PreTrainedModel,
    ids: Tensor,
    cache: Cache,
    count: int,
    *,
    around: ForwardContext,
    positions: Tensor | None = None,
) -> Tensor:
    """Extend a cache and return what the last `count` tokens predict, as `predict_next` does.

    Returns:
        Logits ``(batch, count, vocabulary)``, in float32.
    """
    with torch.inference_mode(), segmented_attention(model), around():
        return continued_logits(model, ids, cache, count, positions)


@torch.no_grad()
def token_losses(model: PreTrainedModel, ids: Tensor, count: int) -> Tensor:
    """Return the losses, in nats, of the last tokens of a text.

    Args:
        model: A causal language model.
        ids: Token ids ``(1, T)``.
        count: How many of the last tokens are scored, at most ``T - 1``.

    Returns:
        Losses ``(count,)``, float32.
    """
    # The last position predicts a token that is not there.
    logits = text_logits(model, ids.to(model.device), count + 1)[0, :-1]
    targets = ids[0, -count:].to(logits.device)
    parts = zip(logits.split(_SLICE), targets.split(_SLICE), strict=True)
    return torch.cat(
        [torch.nn.functional.cross_entropy(a.float(), b, reduction="none") for a, b in parts]
    )
