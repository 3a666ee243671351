"""Moves keys to other positions: with rotary positions that is one more rotation.

It is exact where the angles are linear in the position, so that the rotation between two positions
depends on their distance alone. Whether that holds is tried on the model itself: a name in a
configuration is a claim.
"""

from __future__ import annotations

from contextlib import nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import PreTrainedModel, rotary_positions, takes_argument
from pace_integrations.model.forward import predict_next
from pace_integrations.model.kv_cache.cache import new_cache
from pace_integrations.model.kv_cache.segments import SegmentLayer

# Others ("dynamic", "longrope") change their angles with the length of the text.
LINEAR = ("default", "linear", "llama3", "yarn")
_PROBE = 4  # tokens
_DISTANCE = 517
_found: WeakKeyDictionary[nn.Module, list[bool]] = WeakKeyDictionary()  # tried once for a model


class KeyRotation:
    """Rotates the keys of one model to other positions, in float32.

    Layers without positions of their own (some models leave them out in every fourth layer) are
    found by trial and left as they are.

    Args:
        model: A causal language model.

    Raises:
        ConfigError: Its keys cannot be moved exactly; the message says why.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        rotary = rotary_positions(model)
        kind = getattr(rotary[0], "rope_type", None) if rotary else None
        layers = new_cache(model).layers
        if not layers or not all(type(layer) is SegmentLayer for layer in layers):
            raise _refusal(model, "not all of its layers attend to the whole text")
        if rotary is None or kind not in LINEAR:
            raise _refusal(model, f"its positions are {kind or 'not rotary'}, not one of {LINEAR}")
        if not takes_argument(model, "position_ids"):
            raise _refusal(model, "it cannot be told the positions of tokens")
        self._embedding, self._apply = rotary
        if model not in _found:
            _found[model] = self._find_turning_layers(model)
        self._turns = _found[model]

    def move(self, keys: Tensor, positions: Tensor) -> Tensor:
        """Return keys as they are `positions` further on.

        Args:
            keys: Keys of every layer ``(layers, heads, tokens, size)``.
            positions: How far each token moves ``(tokens,)``; negative moves back.
        """
        turned = [i for i, turns in enumerate(self._turns) if turns]
        if len(turned) == len(self._turns):
            return self._turn(keys, positions)
        moved = keys.clone()
        moved[turned] = self._turn(keys[turned], positions)
        return moved

    def move_layer(self, keys: Tensor, positions: Tensor, layer: int) -> Tensor:
        """Return what `move` does, for the vectors ``(heads, tokens, size)`` of one layer."""
        return self._turn(keys[None], positions)[0] if self._turns[layer] else keys

    def _turn(self, keys: Tensor, positions: Tensor) -> Tensor:
        whole = keys.float()
        cos, sin = self._embedding(whole, positions.to(keys.device)[None])
        # YaRN scales the vectors too; that was done when they were made.
        scaling = getattr(self._embedding, "attention_scaling", 1.0)
        cos, sin, size = cos / scaling, sin / scaling, cos.shape[-1]
        # Models turn queries along with keys; here one head of one layer stands in for those.
        turned = self._apply(whole[:1, :1, :, :size], whole[..., :size], cos, sin)[1]
        if size < whole.shape[-1]:
            turned = torch.cat([turned, whole[..., size:]], dim=-1)
        return turned.to(keys.dtype)

    def _find_turning_layers(self, model: PreTrainedModel) -> list[bool]:
        """Read a few tokens at two places, and tell which layers' keys one rotation maps."""
        here, there = (_probe_keys(model, start) for start in (0, _DISTANCE))
        steps = torch.full((_PROBE,), _DISTANCE, device=model.device)
        tolerance = 1e-3 if here[0].dtype is torch.float32 else 3e-2
        turns = []
        for layer, (before, after) in enumerate(zip(here, there, strict=True)):
            turned, error = self._turn(before[None], steps)[0], after.float().norm() * tolerance
            still = bool((before.float() - after.float()).norm() <= error)
            if not still and (turned.float() - after.float()).norm() > error:
                raise _refusal(model, f"the keys of layer {layer} do not turn with the position")
            turns.append(not still)
        return turns


def _probe_keys(model: PreTrainedModel, start: int) -> list[Tensor]:
    """Return every layer's keys ``(heads, tokens, size)`` of a few tokens read at a position."""
    cache = new_cache(model)
    words = min(int(model.config.get_text_config().vocab_size), 101)
    ids = torch.arange(words - _PROBE, words, device=model.device)[None]
    positions = torch.arange(start, start + _PROBE, device=model.device)[None]
    predict_next(model, ids, cache, around=nullcontext, positions=positions)
    layers = [layer for layer in cache.layers if isinstance(layer, SegmentLayer)]
    return [layer.list_segments()[0][0][0] for layer in layers]


def _refusal(model: PreTrainedModel, why: str) -> ConfigError:
    return ConfigError(
        f"{type(model).__name__} cannot keep pages by themselves: {why}; read them together with "
        "attention='full'"
    )
