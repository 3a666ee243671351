"""Asks a model right behind an answer whether it is right: all else is in the cache by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pace_integrations.model._transformers import Cache, PreTrainedModel
from pace_integrations.model.forward import ForwardContext, predict_next


@dataclass(frozen=True, slots=True)
class Verification:
    """What the model is asked right behind an answer.

    Attributes:
        ids: Token ids from the answer's end on, up to where the model says yes or no.
        yes: The token that confirms.
        no: The token that does not.
    """

    ids: Sequence[int]
    yes: int
    no: int


@dataclass(frozen=True)
class AnswerEnd:
    """Where an answer ended: what was read and written, but for its last token and its position."""

    cache: Cache
    token: int
    position: Tensor | None


def verify(
    model: PreTrainedModel, end: AnswerEnd, verification: Verification, around: ForwardContext
) -> float:
    """Return how likely the model confirms an answer when it is asked right behind it."""
    # An answer that was cut off has no end of its own, and the verification brings one.
    cut = [] if end.token == verification.ids[0] else [end.token]
    ids = torch.tensor([[*cut, *verification.ids]], device=model.device)
    places = None
    if end.position is not None:
        places = end.position + torch.arange(ids.shape[1], device=model.device)[None]
    logits = predict_next(model, ids, end.cache, around=around, positions=places)
    return float(logits[0, [verification.yes, verification.no]].float().softmax(-1)[0])
