"""Teacher and student are one frozen model: with full attention, and with a window and AHN."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pace_integrations.ahn import AHNConfig
from pace_integrations.model._transformers import cache_argument
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.model.kv_cache.attention import segmented_attention


@dataclass(frozen=True)
class Traced:
    """What a pass gave behind the lossless tokens.

    Attributes:
        logits: ``(tokens, vocabulary)``, float32.
        outputs: Of every layer's attention, before its projection ``(tokens, heads * size)``;
            empty unless asked for.
    """

    logits: Tensor
    outputs: tuple[Tensor, ...]


def run_teacher(
    model: PreTrainedModel, ids: Tensor, first: int, *, outputs: bool = False
) -> Traced:
    """Read ``(1, tokens)`` with full attention; return what holds from token `first` on."""
    decoder = model.get_decoder()
    with torch.no_grad(), _record_outputs(model, first, on=outputs) as kept:
        hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
        return Traced(_project(model, hidden, first), tuple(kept))


def run_student(
    model: PreTrainedModel,
    patch: HippocampusPatch,
    config: AHNConfig,
    ids: Tensor,
    first: int,
    *,
    outputs: bool = False,
) -> Traced:
    """Read ``(rows, tokens)`` in a window, with gradients; return what the first row gave."""
    decoder, cache = model.get_decoder(), patch.new_cache(config)
    with segmented_attention(model), _record_outputs(model, first, on=outputs) as kept:
        hidden = decoder(
            input_ids=ids, use_cache=True, **cache_argument(decoder, cache)
        ).last_hidden_state
        return Traced(_project(model, hidden, first), tuple(kept))


def _project(model: PreTrainedModel, hidden: Tensor, first: int) -> Tensor:
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module)
    logits: Tensor = head(hidden[0, first:])
    return logits.float()


@contextmanager
def _record_outputs(model: PreTrainedModel, first: int, *, on: bool) -> Iterator[list[Tensor]]:
    """Give what goes into the projection of every layer's attention."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        kept.append(args[0][0, first:])

    layers = model.get_decoder().layers if on else ()
    handles = [layer.self_attn.o_proj.register_forward_pre_hook(keep) for layer in layers]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
