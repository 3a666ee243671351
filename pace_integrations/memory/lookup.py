"""Looking tokens up in a bank: cosine similarities, the two thresholds, and what is mixed in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pace_integrations._memory_rules import RULES
from pace_integrations.config import MemoryConfig

# Similarities closer than this count as equal and keep slot order. Slots that were merged together
# are near-copies whose similarities differ by rounding alone, and rounding must not choose.
GRID = 2.0**20


@dataclass(frozen=True, slots=True, eq=False)
class LookupResult:
    """The result of a lookup for ``C`` tokens of each of ``B`` rows; all that an update needs.

    Attributes:
        x: The activations ``(B, C, features)``, in float32 until they are set aside.
        source: What the values are mixed with and made of ``(B, C, width)``: `x` itself, or the
            block's outputs.
        mix: Weight of each slot's value in each token's output ``(B, C, M)``, float32.
        keep: Share of the activation that stays in the output ``(B, C)``, float32.
        top: The most similar slots, best first ``(B, C, min(k, M))``.
        best: Highest similarity of each token ``(B, C)``; minus infinity in an empty bank.
        strength: Mean similarity of the most similar slots ``(B, C)``; minus infinity likewise.
        live: Tokens that count ``(B, C)``; False for padding.
    """

    x: Tensor
    source: Tensor
    mix: Tensor
    keep: Tensor
    top: Tensor
    best: Tensor
    strength: Tensor
    live: Tensor

    def copy_compact(self, dtype: torch.dtype) -> LookupResult:
        """Return a copy fit to wait for the rest of its step: no views, activations as given."""
        x = self.x.to(dtype, copy=True)
        source = x if self.source is self.x else self.source.to(dtype, copy=True)
        return LookupResult(x, source, *(t.clone() for t in self.weight_tensors()))

    def float_inputs(self) -> tuple[Tensor, Tensor]:
        """Return activations and source in float32; one tensor where they are one."""
        x = self.x.float()
        return x, x if self.source is self.x else self.source.float()

    def weight_tensors(self) -> tuple[Tensor, ...]:
        """Return every field but the activations and the source, in order."""
        return self.mix, self.keep, self.top, self.best, self.strength, self.live

    def count_hits(self, config: MemoryConfig) -> Tensor:
        """Return lookups above, between and below the thresholds, as a tensor ``(3,)``."""
        above = self.live & (self.best > config.theta_low)
        high = above & (self.best > config.theta_high)
        return torch.stack([high.sum(), (above & ~high).sum(), (self.live & ~above).sum()])


def join_results(parts: tuple[LookupResult, ...]) -> LookupResult:
    """Return one lookup of all tokens from lookups of consecutive ones."""
    if len(parts) == 1:
        return parts[0]
    x = torch.cat([p.x for p in parts], dim=1)
    same = all(p.source is p.x for p in parts)
    source = x if same else torch.cat([p.source for p in parts], dim=1)
    weights = zip(*(p.weight_tensors() for p in parts), strict=True)
    return LookupResult(x, source, *(torch.cat(ts, dim=1) for ts in weights))


def inverse_norms(x: Tensor) -> Tensor:
    """Return one over the length of each vector in the last dimension; 0 for a zero vector."""
    norm = torch.linalg.vector_norm(x, dim=-1)
    return torch.where(norm > 0, 1.0 / norm, torch.zeros_like(norm))


def look_up_tokens(
    x: Tensor,
    keys: Tensor,
    inverse: Tensor,
    filled: Tensor,
    config: MemoryConfig,
    live: Tensor,
) -> LookupResult:
    """Look tokens up: one matrix product per row, never a ``(C, M, features)`` intermediate.

    Args:
        x: Activations ``(B, C, features)`` of any floating dtype.
        keys: Keys ``(B, M, features)``, float32.
        inverse: Inverse norms of the keys ``(B, M)``.
        filled: Filled slots of each row ``(B,)``.
        config: Thresholds, numbers of neighbors and weights.
        live: Tokens that count ``(B, C)``.

    Returns:
        What was found. Above ``theta_high`` the memory is ``mu+ + lambda mu-``. Between the
        thresholds it is ``mu+ / 2 + lambda mu-`` in the authors' code and
        ``(mu+ + x) / 2 + lambda mu-`` in the paper (arXiv 2506.17310, Algorithm 1 and equation 4).
    """
    work = x.float()
    similarity = torch.bmm(work, keys.transpose(1, 2))
    similarity *= inverse_norms(work)[..., None] * inverse[:, None, :]
    valid = torch.arange(keys.shape[1], device=x.device) < filled[:, None]
    top, bottom = _rank_neighbors(similarity, valid, config)
    masked = similarity.masked_fill(~valid[:, None, :], -torch.inf)
    best = masked.amax(-1)
    some = filled[:, None] > 0
    top_valid = _gather_valid(valid, top)
    share = top_valid / top_valid.sum(-1, keepdim=True).clamp(min=1)
    # Unfilled slots have zero keys, thus similarity 0, and drop out of the sum by themselves.
    strength = (similarity.gather(2, top) * share).sum(-1)
    mix, keep = _mixing_weights(top, share, bottom, _gather_valid(valid, bottom), best, config)
    return LookupResult(
        work, work, mix, keep, top, best, strength.masked_fill(~some, -torch.inf), live
    )


def preserve_norms(found: LookupResult, values: Tensor, config: MemoryConfig) -> LookupResult:
    """Return the same lookup, weighted so that every output is as long as its source."""
    x = found.source
    out = torch.bmm(found.mix, values).addcmul_(x, found.keep[..., None])
    ratio = torch.linalg.vector_norm(x, dim=-1) * inverse_norms(out)
    ratio = torch.where((found.best > config.theta_low) & (ratio > 0), ratio, 1.0)
    return replace(found, mix=found.mix * ratio[..., None], keep=found.keep * ratio)


def blend_values(found: LookupResult, x: Tensor, values: Tensor) -> Tensor:
    """Return ``keep * x + mix @ values`` in the dtype of the source `x`; differentiable in it.

    Tokens with ``keep = 1`` and no weights come out bit by bit as they went in.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    source = found.source if wide == found.source.dtype and not x.requires_grad else x.to(wide)
    mixed = torch.bmm(found.mix, values).to(wide)
    return mixed.addcmul_(source, found.keep[..., None].to(wide)).to(x.dtype)


def _rank_neighbors(
    similarity: Tensor, valid: Tensor, config: MemoryConfig
) -> tuple[Tensor, Tensor]:
    """Return indices of the most and the least similar slots; equal ones keep slot order."""
    slots = similarity.shape[-1]
    order = torch.arange(slots, device=similarity.device)
    # Similarity and slot number in one integer: distinct, so that the choice is determined.
    rank = (similarity * GRID).round_().nan_to_num_().to(torch.int64) * slots
    beyond = 4 * slots * int(GRID)
    best = (rank - order).masked_fill_(~valid[:, None, :], -beyond)
    worst = (rank + order).masked_fill_(~valid[:, None, :], beyond)
    top = best.topk(min(config.top_k, slots), dim=-1).indices
    return top, worst.topk(min(config.bottom_k, slots), dim=-1, largest=False).indices


def _gather_valid(valid: Tensor, index: Tensor) -> Tensor:
    """Return True where the slots ``index (B, C, k)`` are filled."""
    return valid[:, None, :].expand(-1, index.shape[1], -1).gather(2, index)


def _mixing_weights(
    top: Tensor,
    share: Tensor,
    bottom: Tensor,
    bottom_valid: Tensor,
    best: Tensor,
    config: MemoryConfig,
) -> tuple[Tensor, Tensor]:
    """Return weights of the values and share of the activation in the output."""
    middle = best <= config.theta_high
    used = (best > config.theta_low) * config.blend
    mean = share * torch.where(middle, 0.5, 1.0)[..., None]
    negative = bottom_valid * (config.negative_weight / bottom_valid.sum(-1, True).clamp(min=1))
    mix = torch.zeros(*best.shape, config.slots, device=best.device)
    mix = mix.scatter(2, top, mean).scatter_add(2, bottom, negative)
    # The paper averages the activation in between the thresholds; the authors' code leaves it out.
    own = 0.5 * middle if RULES[config.rule].mixes_input else 0.0
    return mix * used[..., None], 1.0 - used + used * own
