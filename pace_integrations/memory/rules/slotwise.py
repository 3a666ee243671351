"""The update of ``rule="slotwise"``: a bank that stays diverse and current. A rule of this project.

The released rule moves every touched slot toward one mean, and its keys become one vector; the
paper's rule fills one slot. Here a slot holds one token's activation, unchanged, from the moment
it enters until it is replaced. Per step, with best similarity ``s_i`` and nearest slot ``j(i)``:

1. Use: ``u_j += #{i : j(i) = j, s_i > theta_low}``.
2. Candidates: the ``2 M`` tokens that resemble the bank least; equal ones (all, in an empty bank)
   are taken evenly from the step. Zero activations are none.
3. Novelty of the p-th candidate: ``d_p = max(s_p, max_{q < p} cos(x_p, x_q))``. Of mutually
   similar tokens the first keeps its own ``s``, and the others fall behind.
4. Entry in order of ``d``, while ``d <= theta_high``: free slots take any number. Filled ones are
   renewed at a fixed pace, ``M`` slots in ``horizon`` tokens: a step over positions ``[a, b)``
   replaces ``floor(b M / H) - floor(a M / H)`` of them.
5. Replaced are the stalest, by ``age_j (1 - r_j / 2)``, where ``r_j`` in [0, 1] ranks the slots by
   uses per token since they entered: the most used live up to twice as long as the least used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.lookup import GRID, LookupResult, inverse_norms
from pace_integrations.memory.rules.slots import replace_slots

_GOLDEN = 0.6180339887498949


def update_slotwise(
    bank: BankState, found: LookupResult, positions: Tensor, config: MemoryConfig
) -> BankState:
    """Store one complete step.

    Args:
        bank: The bank as the lookup met it.
        found: The lookup of the whole step, ``C`` tokens of each of ``B`` rows.
        positions: Position of each token in its sequence ``(B, C)``.
        config: Thresholds, slots and horizon.

    Returns:
        The new contents; the old ones stay as they are.
    """
    live = found.live & (inverse_norms(found.x.float()) > 0)
    used = found.live & (found.best > config.theta_low)
    usage = bank.usage.scatter_add(1, found.top[..., 0], used.to(torch.int64))
    end = positions.masked_fill(~found.live, -1).amax(1, keepdim=True) + 1
    start = torch.minimum(positions.masked_fill(~found.live, end.max()).amin(1, keepdim=True), end)
    room = config.slots - bank.filled[:, None] + _count_renewals(start, end, config)
    tokens, novelty = _rank_candidates(found, live, config)
    enters = torch.arange(tokens.shape[1], device=tokens.device) < room
    enters &= novelty <= config.theta_high
    rank = (
        _rank_staleness(bank, usage, end)
        .argsort(dim=1, descending=True, stable=True)
        .argsort(dim=1)
    )
    chosen = rank.clamp(max=tokens.shape[1] - 1)
    taken = enters.gather(1, chosen) & (rank < tokens.shape[1])
    counted = BankState(bank.keys, bank.values, usage, bank.filled, bank.written)
    return replace_slots(counted, found, positions, tokens.gather(1, chosen), taken, bank.values)


def _count_renewals(start: Tensor, end: Tensor, config: MemoryConfig) -> Tensor:
    """Return filled slots that a step over positions ``[start, end)`` replaces ``(B, 1)``."""
    return end * config.slots // config.horizon - start * config.slots // config.horizon


def _rank_candidates(
    found: LookupResult, live: Tensor, config: MemoryConfig
) -> tuple[Tensor, Tensor]:
    """Return tokens in order of novelty, and it ``(B, P)``; infinite for padding and zeros."""
    # Multiples of the golden ratio spread any number of tokens evenly over the step.
    spread = (found.live.to(torch.float64).cumsum(1) * _GOLDEN) % 1.0
    order = (found.best.double().clamp(min=-2.0) * GRID).round() + spread
    count = min(2 * config.slots, live.shape[1])
    pool = order.masked_fill(~live, torch.inf).topk(count, dim=1, largest=False).indices
    x = found.x.gather(1, pool[..., None].expand(-1, -1, found.x.shape[-1])).float()
    x = x * inverse_norms(x)[..., None]
    earlier = torch.ones(count, count, dtype=torch.bool, device=x.device).tril(-1)
    likeness = torch.bmm(x, x.transpose(1, 2)).masked_fill(~earlier, -2.0).amax(2)
    novelty = torch.maximum(found.best.gather(1, pool), likeness)
    novelty = novelty.masked_fill(~live.gather(1, pool), torch.inf)
    best = (novelty * GRID).round().argsort(dim=1, stable=True)
    return pool.gather(1, best), novelty.gather(1, best)


def _rank_staleness(bank: BankState, usage: Tensor, end: Tensor) -> Tensor:
    """Return how ready each slot is to be replaced ``(B, M)``, in whole numbers; free ones most."""
    age = (end - bank.written).clamp(min=1)
    rate = (usage.double() / age.double()).masked_fill(~bank.filled_mask, torch.inf)
    rank = rate.argsort(dim=1, stable=True).argsort(dim=1)
    last = max(bank.usage.shape[1] - 1, 1)
    return (age * (2 * last - rank)).masked_fill(~bank.filled_mask, torch.iinfo(torch.int64).max)
