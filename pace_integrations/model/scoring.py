"""Next-token losses of given text."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from transformers import PreTrainedModel

_SLICE = 256  # positions whose logits are held in float32 at a time


@torch.no_grad()
def token_losses(model: PreTrainedModel, ids: Tensor, count: int) -> Tensor:
    """Losses, in nats, of the last tokens of a text.

    Args:
        model: A causal language model.
        ids: Token ids ``(1, T)``.
        count: How many of the last tokens are scored, at most ``T - 1``.

    Returns:
        Losses ``(count,)``, float32.
    """
    # The last position predicts a token that is not there.
    kept = {"logits_to_keep": count + 1} if _keeps(model) else {}
    logits = model(input_ids=ids.to(model.device), use_cache=False, **kept).logits[0, -count - 1 :]
    targets = ids[0, -count:].to(logits.device)
    parts = zip(logits[:-1].split(_SLICE), targets.split(_SLICE), strict=True)
    return torch.cat(
        [torch.nn.functional.cross_entropy(a.float(), b, reduction="none") for a, b in parts]
    )


def _keeps(model: PreTrainedModel) -> bool:
    """Whether the model can leave out the logits of earlier positions."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
