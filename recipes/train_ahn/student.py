"""Teacher and student are one frozen model: with full attention, and with a window and AHN."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pace_integrations.ahn import AHNConfig, ArtificialHippocampus
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
        states: What the networks hold at the end, by layer; without gradients.
    """

    logits: Tensor
    outputs: tuple[Tensor, ...]
    states: Mapping[int, Tensor]


class ForeignState(ArtificialHippocampus):
    """A network that takes nothing in: its state is what another text left.

    Attributes:
        foreign: That state ``(1, heads, d, d)``.
    """

    foreign: Tensor

    def chunk(  # type: ignore[override]
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x: Tensor,
        *state: Tensor | None,
        **options: Any,  # noqa: ANN401 - those of the base class
    ) -> tuple[Tensor, Tensor]:
        """Read from the other text's state (see `ArtificialHippocampus.chunk`)."""
        gates = options.pop("gates", None) or self.fn.compute_gates(x)
        shut = tuple(torch.zeros_like(gate) for gate in gates)
        return super().chunk(q, k, v, x, self.foreign, gates=shut, **options)


def set_foreign(patch: HippocampusPatch, states: Mapping[int, Tensor]) -> None:
    """Have networks read from the states of another text, by layer, and write nothing."""
    for i, network in patch.networks.items():
        network.__class__ = ForeignState
        assert isinstance(network, ForeignState)
        network.foreign = states[i]


def run_teacher(
    model: PreTrainedModel, ids: Tensor, first: int, *, outputs: bool = False
) -> Traced:
    """Read ``(1, tokens)`` with full attention; return what holds from token `first` on."""
    decoder = model.get_decoder()
    with torch.no_grad(), _record_outputs(model, first, on=outputs) as kept:
        hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
        return Traced(_project(model, hidden, first), tuple(kept), {})


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
        held = {i: layer.list_tensors().get("state") for i, layer in enumerate(cache.layers)}
        states = {i: state.detach() for i, state in held.items() if state is not None}
        return Traced(_project(model, hidden, first), tuple(kept), states)


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
