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
from pace_integrations.model.prompts import Message, Prompts

_HEARD = 64  # most tokens of a question whose likelihood is looked at: logits take room


def ask_rows(
    model: PreTrainedModel,
    tail: Sequence[int],
    refusal: Sequence[int],
    rows: RowsContext,
    around: ForwardContext,
    heard: range,
) -> tuple[list[float | None], Tensor]:
    """Feed the question, and return how likely each row makes it and what comes next.

    Args:
        model: A causal language model.
        tail: The prompt's tail with the question.
        refusal: Token ids of the refusal.
        rows: What the rows have read; the question is added.
        around: Makes the context that each forward runs in.
        heard: Where the words stand in the tail whose likelihood is looked at, behind its first
            token.

    Returns:
        The log probabilities of those words, by row; None where there are none of them. Logits
        ``(rows, len(refusal), vocabulary)`` of what follows the tail and the refusal's tokens.
    """
    count = len(refusal) + (len(tail) - heard.start if heard else 0)
    logits = _feed(model, tail, refusal, rows, around, count)
    questions: list[float | None] = [None] * len(rows.lengths)
    if heard:
        questions[:] = _score_tokens(logits[:, : len(heard)], tail[heard.start : heard.stop])
    return questions, logits[:, -len(refusal) :]


def locate_question(
    prompts: Prompts, question: str | Sequence[Message], tail: Sequence[int]
) -> range:
    """Return where a question stands in the tail of its prompt: its last 64 tokens at most."""
    spoken = question if isinstance(question, str) else ""
    for message in () if isinstance(question, str) else question:
        spoken = message["content"] if message["role"] == "user" else spoken
    ids, own = list(tail), prompts.encode_text(spoken)
    for start in range(len(ids) - len(own), 0, -1):
        if ids[start : start + len(own)] == own:
            return range(start, start + len(own))[-_HEARD:]
    return range(0)


def _feed(
    model: PreTrainedModel,
    tail: Sequence[int],
    refusal: Sequence[int],
    rows: RowsContext,
    around: ForwardContext,
    count: int,
) -> Tensor:
    """Return the last logits ``(rows, count, vocabulary)`` behind tail and refusal."""
    several, cache = len(rows.lengths), rows.cache
    ids = torch.tensor([list(tail)] * several, device=model.device)
    told = torch.tensor([list(refusal[:-1])] * several, dtype=torch.long, device=model.device)
    if is_segmented(cache):
        # Question and refusal go through the model together; the refusal is then taken back.
        fed = torch.cat([ids, told], dim=1)
        starts = torch.tensor(rows.lengths, device=model.device)[:, None]
        places = starts + torch.arange(fed.shape[1], device=model.device) if several > 1 else None
        logits = predict_last(model, fed, cache, count, around=around, positions=places)
        drop_tokens(cache, len(refusal) - 1)
        return logits
    first = predict_last(model, ids, cache, count - len(refusal) + 1, around=around)
    if len(refusal) == 1:
        return first
    rest = predict_last(model, told, fork_cache(cache), len(refusal) - 1, around=around)
    return torch.cat([first, rest], dim=1)


def is_segmented(cache: Cache) -> bool:
    """Return True if every layer of a cache holds segments, so that tokens can be taken back."""
    return all(isinstance(layer, SegmentLayer) for layer in cache.layers)


def _score_tokens(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """Return the log probability of some tokens in each row."""
    wanted = torch.tensor(list(ids), device=logits.device).expand(logits.shape[:2])[..., None]
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
