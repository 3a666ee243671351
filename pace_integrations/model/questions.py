"""Feeds a question to several rows, and says how likely they hold it and how likely they refuse."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pace_integrations.model._transformers import Cache, PreTrainedModel
from pace_integrations.model.forward import ForwardContext, predict_last
from pace_integrations.model.kv_cache.cache import drop_tokens, fork_cache
from pace_integrations.model.kv_cache.segments import SegmentLayer
from pace_integrations.model.pages import RowsContext

_HEARD = 64  # most tokens of a question whose likelihood is looked at: logits take room


def ask_rows(
    model: PreTrainedModel,
    tail: Sequence[int],
    refusal: Sequence[int],
    rows: RowsContext,
    around: ForwardContext,
    *,
    scores: bool,
) -> tuple[list[float | None], Tensor]:
    """Feed the question, and return how likely each row makes it and what comes next.

    Args:
        model: A causal language model.
        tail: The prompt's tail with the question.
        refusal: Token ids of the refusal.
        rows: What the rows have read; the question is added.
        around: Makes the context that each forward runs in.
        scores: Whether to look at how likely the question is: its last 64 tokens, at most all but
            the first.

    Returns:
        The log probabilities of those tokens, by row; None where they are not looked at. Logits
        ``(rows, len(refusal), vocabulary)`` of what follows the question and the refusal's tokens.
    """
    heard = min(_HEARD, len(tail) - 1) if scores else 0
    logits = _feed(model, tail, refusal, rows, around, heard)
    questions: list[float | None] = [None] * len(rows.lengths)
    if heard:
        questions[:] = _score_tokens(logits[:, :heard], tail)
    return questions, logits[:, heard:]


def _feed(
    model: PreTrainedModel,
    tail: Sequence[int],
    refusal: Sequence[int],
    rows: RowsContext,
    around: ForwardContext,
    heard: int,
) -> Tensor:
    """Return logits ``(rows, heard + len(refusal), vocabulary)``."""
    count, cache = len(rows.lengths), rows.cache
    ids = torch.tensor([list(tail)] * count, device=model.device)
    told = torch.tensor([list(refusal[:-1])] * count, dtype=torch.long, device=model.device)
    if is_segmented(cache):
        # Question and refusal go through the model together; the refusal is then taken back.
        fed = torch.cat([ids, told], dim=1)
        starts = torch.tensor(rows.lengths, device=model.device)[:, None]
        places = starts + torch.arange(fed.shape[1], device=model.device) if count > 1 else None
        count = heard + len(refusal)
        logits = predict_last(model, fed, cache, count, around=around, positions=places)
        drop_tokens(cache, len(refusal) - 1)
        return logits
    first = predict_last(model, ids, cache, heard + 1, around=around)
    if len(refusal) == 1:
        return first
    rest = predict_last(model, told, fork_cache(cache), len(refusal) - 1, around=around)
    return torch.cat([first, rest], dim=1)


def is_segmented(cache: Cache) -> bool:
    """Return True if every layer of a cache holds segments, so that tokens can be taken back."""
    return all(isinstance(layer, SegmentLayer) for layer in cache.layers)


def _score_tokens(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """Return the log probability of the last tokens in each row, of which logits are given."""
    last = torch.tensor(list(ids[-logits.shape[1] :]), device=logits.device)
    wanted = last.expand(logits.shape[:2])[..., None]
    chances = logits.gather(-1, wanted)[..., 0] - logits.logsumexp(-1)
    scores: list[float] = chances.sum(-1).tolist()
    return scores


def score_refusal(logits: Tensor, refusal: Sequence[int]) -> tuple[list[float], Tensor]:
    """Return how likely each row refuses, and which rows would ``(rows,)``."""
    wanted = torch.tensor(list(refusal), device=logits.device)
    chances = logits[:, torch.arange(len(refusal)), wanted] - logits.logsumexp(-1)
    # The end does not count: a refusal that goes on is one too.
    refusing = (logits.argmax(-1) == wanted)[:, :-1].all(-1)
    return chances.sum(-1).exp().tolist(), refusing
