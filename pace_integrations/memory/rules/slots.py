"""Steps that update rules share: outputs of a lookup, and writing single tokens into slots."""

from __future__ import annotations

import torch
from torch import Tensor

from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.lookup import LookupResult


def sum_outputs(found: LookupResult, source: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """Return weighted sums ``(B, R, width)`` over tokens of the lookup's outputs.

    Args:
        found: The lookup.
        source: Its source in float32 ``(B, C, width)``.
        weights: Weight of each token in each of ``R`` sums ``(B, R, C)``.
        values: Values of the bank that was looked up.
    """
    kept = torch.bmm(weights * found.keep[:, None, :], source)
    return torch.baddbmm(kept, torch.bmm(weights, found.mix), values)


def replace_slots(
    bank: BankState,
    found: LookupResult,
    positions: Tensor,
    token: Tensor,
    taken: Tensor,
    looked_up: Tensor,
) -> BankState:
    """Replace slots by single tokens: key the activation, value its output, usage 1.

    Args:
        bank: BankState to write into.
        found: The lookup of the step.
        positions: Position of each token in its sequence ``(B, C)``.
        token: The token of each slot ``(B, M)``.
        taken: Slots that are replaced ``(B, M)``; free ones in slot order.
        looked_up: Values of the bank that was looked up ``(B, M, width)``.
    """

    def pick(t: Tensor) -> Tensor:
        return t.gather(1, token[..., None].expand(-1, -1, t.shape[-1])).float()

    x = pick(found.x)
    source = x if found.source is found.x else pick(found.source)
    keep = found.keep.gather(1, token)[..., None]
    values = torch.baddbmm(keep * source, pick(found.mix), looked_up)
    return BankState(
        torch.where(taken[..., None], x, bank.keys),
        torch.where(taken[..., None], values, bank.values),
        torch.where(taken, torch.ones_like(bank.usage), bank.usage),
        bank.filled + (taken & ~bank.filled_mask).sum(1),
        torch.where(taken, positions.gather(1, token), bank.written),
    )
