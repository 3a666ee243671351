"""Reading on beyond the context: the first tokens and the latest ones stay, what lies between goes.

Attention sinks and a sliding window, as in StreamingLLM (arXiv 2309.17453): the tokens kept stand
at the positions 0, 1, 2, ... whatever was between them, so the model never meets a position it was
not trained on. Keys carry their position as a rotation; those of tokens that move up are rotated
back by as much. The memory banks hold what they took from the tokens that are gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import Cache, PreTrainedModel, rotary_positions
from pace_integrations.model.kv_cache.cache import new_cache
from pace_integrations.model.kv_cache.segments import SegmentLayer

SINKS = 64
_PIECE = 2048  # most tokens moved up at a time
# Of these the rotation between two positions depends on their distance alone.
_STEADY = ("default", "linear", "llama3", "yarn")


class SlidingWindow:
    """Keeps a cache within a number of tokens.

    Args:
        model: The model, which must use rotary positions and full attention in every layer.
        tokens: Most tokens a cache may hold.
        sinks: First tokens that always stay.

    Raises:
        ConfigError: The window is too small, or the model's cache cannot slide.
    """

    def __init__(self, model: PreTrainedModel, tokens: int, sinks: int = SINKS) -> None:
        if tokens < 2 * sinks:
            raise ConfigError(f"a window needs at least {2 * sinks} tokens, got {tokens}")
        rotary = rotary_positions(model)
        segments = all(isinstance(layer, SegmentLayer) for layer in new_cache(model).layers)
        if rotary is None or getattr(rotary[0], "rope_type", None) not in _STEADY or not segments:
            raise ConfigError(
                f"{type(model).__name__} cannot read on in a window: that needs rotary positions "
                "and full attention in every layer; read fewer documents, or try overflow='yarn'"
            )
        self._rotary, self._rotate = rotary
        self.tokens = tokens
        self.sinks = sinks

    def fit_chunk(self, tokens: int, free: int) -> int:
        """Return the most tokens, up to `tokens`, that fit beside the sinks and `free` others.

        Raises:
            ConfigError: None does.
        """
        most = self.tokens - self.sinks - free
        if most < 1:
            raise ConfigError(
                f"a window of {self.tokens} tokens has no room beside {self.sinks} first tokens "
                f"and {free} for question and answer; make context larger or reserve smaller"
            )
        return min(tokens, most)

    def make_room(self, cache: Cache, coming: int) -> None:
        """Evict the oldest tokens after the sinks, so that `coming` more fit."""
        held = cache.get_seq_length()
        gone = min(held + coming - self.tokens, held - self.sinks)
        if gone <= 0:
            return
        for layer in cache.layers:
            assert isinstance(layer, SegmentLayer)
            self._slide_layer(layer, gone)

    def _slide_layer(self, layer: SegmentLayer, gone: int) -> None:
        keys, values = (
            self._kept_tokens(parts, gone) for parts in zip(*layer.list_segments(), strict=True)
        )
        for start in range(self.sinks, keys.shape[2], _PIECE):
            piece = keys[:, :, start : start + _PIECE]
            piece.copy_(self._rotate_back(piece, gone))
        layer.hold_pair(keys, values)

    def _kept_tokens(self, parts: Sequence[Tensor], gone: int) -> Tensor:
        """Return a copy of what stays of keys or values in parts."""
        stays, start = [], 0
        for part in parts:
            stop = start + part.shape[2]
            stays.append(part[:, :, : max(0, self.sinks - start)])
            stays.append(part[:, :, max(0, self.sinks + gone - start) :])
            start = stop
        return torch.cat(stays, dim=2)

    def _rotate_back(self, keys: Tensor, places: int) -> Tensor:
        """Keys ``(batch, heads, tokens, size)`` as they are `places` positions earlier."""
        positions = torch.tensor([[places]], device=keys.device)
        cos, sin = self._rotary(keys.float(), positions)
        scaling = getattr(self._rotary, "attention_scaling", 1.0)
        cos, sin, size = cos / scaling, sin / scaling, cos.shape[-1]
        turned, _ = self._rotate(keys[..., :size].float(), keys[..., :size].float(), cos, -sin)
        return torch.cat([turned.to(keys.dtype), keys[..., size:]], dim=-1)
