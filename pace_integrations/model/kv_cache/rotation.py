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

    def move(self, keys: Tensor, positions: Tensor) -> None:
        """Move keys on by some positions, where they are: nobody else may hold them.

        Args:
            keys: Keys of every layer ``(layers, heads, tokens, size)``.
            positions: How far each token moves ``(tokens,)``; negative moves back.
        """
        angles = self._find_angles(keys, positions)
        # One layer at a time stays in the processor's cache: several times as fast as all at once.
        for layer, turns in zip(keys.split(1), self._turns, strict=True):
            if turns:
                self._turn(layer, *angles)

    def move_layer(self, keys: Tensor, positions: Tensor, layer: int) -> Tensor:
        """Return the vectors of one layer ``(heads, tokens, size)`` moved likewise, as a copy."""
        moved = keys[None].clone()
        if self._turns[layer]:
            self._turn(moved, *self._find_angles(moved, positions))
        return moved[0]

    def _find_angles(self, keys: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of each token's turn ``(1, tokens, size)``, float32."""
        cos, sin = self._embedding(keys[:1, :1].float(), positions.to(keys.device)[None])
        # YaRN scales the vectors too; that was done when they were made.
        scaling = getattr(self._embedding, "attention_scaling", 1.0)
        return cos / scaling, sin / scaling

    def _turn(self, keys: Tensor, cos: Tensor, sin: Tensor) -> None:
        """Turn the keys of one layer ``(1, heads, tokens, size)`` where they are."""
        size = cos.shape[-1]
        whole = keys[..., :size].float()
        # Models turn queries along with keys; here one head stands in for those.
        keys[..., :size] = self._apply(whole[:, :1], whole, cos, sin)[1]

    def _find_turning_layers(self, model: PreTrainedModel) -> list[bool]:
        """Read a few tokens at two places, and tell which layers' keys one rotation maps."""
        here, there = (_probe_layers(model, start) for start in (0, _DISTANCE))
        steps = torch.full((_PROBE,), _DISTANCE, device=model.device)
        least = 1e-3 if here[0][0].dtype is torch.float32 else 3e-2
        turns = []
        for layer, (before, after) in enumerate(zip(here, there, strict=True)):
            # Values do not turn: how far they drift is the rounding that the layers below add up.
            # Where positions enter otherwise they drift too, so this allows for a little only.
            drift = float(_compare(before[1], after[1]))
            tolerance = max(least, min(2 * drift, 3 * least))
            turned = before[0][None].clone()
            self._turn(turned, *self._find_angles(turned, steps))
            stays, turns_by = _compare(before[0], after[0]), _compare(turned[0], after[0])
            if min(stays, turns_by) > tolerance:
                raise _refusal(model, f"the keys of layer {layer} do not turn with the position")
            turns.append(bool(turns_by < stays))
        return turns


def _probe_layers(model: PreTrainedModel, start: int) -> list[tuple[Tensor, Tensor]]:
    """Return every layer's keys and values ``(heads, tokens, size)`` of a few tokens at a place."""
    cache = new_cache(model)
    words = min(int(model.config.get_text_config().vocab_size), 101)
    ids = torch.arange(words - _PROBE, words, device=model.device)[None]
    positions = torch.arange(start, start + _PROBE, device=model.device)[None]
    predict_next(model, ids, cache, around=nullcontext, positions=positions)
    layers = [layer for layer in cache.layers if isinstance(layer, SegmentLayer)]
    return [(keys[0], values[0]) for keys, values in (x.list_segments()[0] for x in layers)]


def _compare(before: Tensor, after: Tensor) -> Tensor:
    """Return the norm of a difference relative to that of what came out."""
    distance: Tensor = (before.float() - after.float()).norm() / after.float().norm()
    return distance


def _refusal(model: PreTrainedModel, why: str) -> ConfigError:
    return ConfigError(
        f"{type(model).__name__} cannot keep pages by themselves: {why}; read them together with "
        "attention='full'"
    )
