"""Look-ups of a few tokens in a bank that does not change meanwhile, as while an answer is decoded.

The same function of bank and token as `lookup.look_up_tokens` and `blend_values`, up to rounding.
What depends on the bank alone is made once: unit keys, the order of equal similarities, and the
weights of every outcome. What is left per token is one product with the keys and a sum of a few
values, in as few operations as possible, since at one token each of them costs its launch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pace_integrations._memory_rules import RULES
from pace_integrations.config import MemoryConfig
from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.lookup import GRID, inverse_norms

_NARROW = (torch.float32, torch.bfloat16, torch.float16)


class FrozenLookup:
    """A bank prepared for look-ups that store nothing.

    Args:
        bank: The bank, ``B`` rows of ``M`` slots.
        config: Thresholds, numbers of neighbors and weights.
    """

    def __init__(self, bank: BankState, config: MemoryConfig) -> None:
        slots, device = config.slots, bank.keys.device
        self._values, self._config = bank.values, config
        # A product with unit keys is a cosine but for the token's own length.
        self._unit = (bank.keys * inverse_norms(bank.keys)[..., None]).transpose(1, 2)
        valid = bank.filled_mask
        self._empty = torch.zeros_like(bank.usage, dtype=torch.float32)
        self._empty.masked_fill_(~valid, -torch.inf)
        # Less than one step of the grid apart, so that it orders equal similarities alone.
        order = torch.arange(slots, device=device, dtype=torch.float64) / slots
        self._best_order = (-order).masked_fill(~valid, -torch.inf)[:, None]
        self._worst_order = order.masked_fill(~valid, torch.inf)[:, None]
        self._top, self._bottom = min(config.top_k, slots), min(config.bottom_k, slots)
        self._weights, self._keep = self._outcomes(bank.filled)
        # Look-ups above, between and below the thresholds, by level.
        self._counted = torch.eye(3, dtype=torch.int64, device=device).flip(0)

    @staticmethod
    def fits(x: Tensor, config: MemoryConfig) -> bool:
        """Return True for activations ``(B, C, features)`` that are few and want no gradient."""
        few = x.shape[1] * (config.top_k + config.bottom_k) <= 2 * config.slots
        plain = x.dtype in _NARROW and not (x.requires_grad and torch.is_grad_enabled())
        return few and plain and not torch.is_autocast_enabled(x.device.type)

    @torch.no_grad()
    def look_up(self, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the memory into tokens.

        Args:
            x: Activations ``(B, C, features)``.
            source: What the memory is mixed into ``(B, C, width)``: `x` itself, or the block's
                outputs.

        Returns:
            The mixed source in its dtype, which is the source itself with ``blend=0``, and
            look-ups above, between and below the thresholds ``(3,)``.
        """
        config, work = self._config, x.float()
        length = torch.linalg.vector_norm(work, dim=-1, keepdim=True)
        # A zero vector has similarity 0 to everything.
        similarity = torch.bmm(work, self._unit).div_(length.clamp_min_(1e-38))
        best = (similarity + self._empty[:, None]).amax(-1)
        level = (best > config.theta_low).long() + (best > config.theta_high)
        counts = self._counted[level].sum((0, 1))
        if config.blend == 0:
            return source, counts
        rank = (similarity * GRID).round_().double()
        top = (rank + self._best_order).topk(self._top, dim=-1).indices
        bottom = (rank + self._worst_order).topk(self._bottom, dim=-1, largest=False).indices
        slots = torch.cat([top, bottom], dim=-1)
        rows = torch.arange(len(x), device=x.device)[:, None]
        picked = self._values[rows[..., None], slots]  # (B, C, k + k', width)
        mixed = torch.matmul(self._weights[rows, level][:, :, None], picked)[:, :, 0]
        plain = work if source is x else source.float()
        out = mixed.addcmul_(plain, self._keep[level][..., None])
        if config.preserve_norm:
            ratio = torch.linalg.vector_norm(plain, dim=-1) * inverse_norms(out)
            ratio = torch.where((level > 0) & (ratio > 0), ratio, 1.0)
            out *= ratio[..., None]
        return out.to(source.dtype), counts

    def _outcomes(self, filled: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each outcome weighs: nothing similar, between the thresholds, above them.

        Neighbors come first among the filled slots, so that their number alone says which of the
        picked ones count.

        Returns:
            Weights of the picked values ``(B, 3, k + k')``, and shares of the source ``(3,)``.
        """
        config, device = self._config, filled.device

        def share(count: int) -> Tensor:
            """Return equal weights of as many of `count` picked slots as are filled."""
            inside = torch.arange(count, device=device) < filled[:, None]
            return inside / inside.sum(-1, keepdim=True).clamp(min=1)

        top, bottom = share(self._top), share(self._bottom) * config.negative_weight
        high, middle = torch.cat([top, bottom], -1), torch.cat([top * 0.5, bottom], -1)
        weights = torch.stack([torch.zeros_like(high), middle, high], dim=1) * config.blend
        own = 0.5 if RULES[config.rule].mixes_input else 0.0
        rest = 1.0 - config.blend
        keep = torch.tensor([1.0, rest + config.blend * own, rest], device=device)
        return weights, keep
