"""The update of ``rule="paper"``: Algorithm 1 of PaceLLM (arXiv 2506.17310), one mean per step."""

from __future__ import annotations

import torch
from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.lookup import GRID, LookupResult, inverse_norms
from pace_integrations.memory.rules.slots import sum_outputs


def update_paper(
    bank: BankState, found: LookupResult, positions: Tensor, config: MemoryConfig
) -> BankState:
    """Store the mean of one complete step (equations 5 and 6).

    The mean similarity of the step decides: above ``theta_high`` the slots nearest to it count a
    use; between the thresholds they also move halfway toward the mean activation; below, the mean
    and its output replace the least used slot. An empty bank takes the mean into slot 0.

    Args:
        bank: The bank as the lookup met it.
        found: The lookup of the whole step, ``C`` tokens of each of ``B`` rows.
        positions: Position of each token in its sequence ``(B, C)``.
        config: Thresholds.

    Returns:
        The new contents; the old ones stay as they are.
    """
    x, source = found.float_inputs()
    number = found.live.sum(1, keepdim=True)
    share = found.live / number.clamp(min=1)
    mean = torch.bmm(share[:, None, :], x)
    plain = mean if source is x else torch.bmm(share[:, None, :], source)
    # An empty bank has strength minus infinity; padding must not turn 0 * inf into nan.
    strength = (share * found.strength.masked_fill(~found.live, 0.0)).sum(1, keepdim=True)
    some, known = number > 0, strength > config.theta_low
    near = _nearest_slots(bank, x, share, config) & known & some
    merged = near & (strength <= config.theta_high)
    fresh = _least_used(bank) & ~known & some
    out = sum_outputs(found, source, share[:, None, :], bank.values)
    return _store_mean(
        bank, (near, merged, fresh), (mean, plain, out), _last_position(positions, found.live)
    )


def _store_mean(
    bank: BankState,
    slots: tuple[Tensor, Tensor, Tensor],
    means: tuple[Tensor, Tensor, Tensor],
    position: Tensor,
) -> BankState:
    (near, merged, fresh), (mean, plain, out) = slots, means
    keys = torch.where(merged[..., None], (bank.keys + mean) / 2, bank.keys)
    # As printed, values merge with the mean activation too, not with the mean output.
    values = torch.where(merged[..., None], (bank.values + plain) / 2, bank.values)
    grown = (fresh & ~bank.filled_mask).sum(1)
    return BankState(
        torch.where(fresh[..., None], mean, keys),
        torch.where(fresh[..., None], out, values),
        torch.where(fresh, torch.ones_like(bank.usage), bank.usage + near),
        bank.filled + grown,
        torch.where(merged | fresh, position, bank.written),
    )


def _nearest_slots(bank: BankState, x: Tensor, share: Tensor, config: MemoryConfig) -> Tensor:
    """Return the k filled slots most similar on average over the step ``(B, M)``."""
    # The mean of cosines is a product with the mean of unit vectors: no second large product.
    unit = torch.bmm((share * inverse_norms(x))[:, None, :], x)
    similarity = torch.bmm(unit, bank.keys.transpose(1, 2))[:, 0] * bank.inverse_key_norms()
    grid = (similarity * GRID).round().masked_fill(~bank.filled_mask, -torch.inf)
    order = grid.argsort(stable=True, dim=1, descending=True)
    return (order.argsort(1) < config.top_k) & bank.filled_mask


def _least_used(bank: BankState) -> Tensor:
    """Return the least used slot, the first of equals; slots never filled come first."""
    slot = torch.arange(bank.usage.shape[1], device=bank.usage.device)
    return slot == bank.usage.argsort(stable=True, dim=1)[:, :1]


def _last_position(positions: Tensor, live: Tensor) -> Tensor:
    return positions.masked_fill(~live, -1).amax(1, keepdim=True)
