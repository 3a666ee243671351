"""The update of ``rule="released"``: what the authors' code stores, as row-wise tensor algebra."""

from __future__ import annotations

import torch
from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.lookup import LookupResult
from pace_integrations.memory.rules.slots import replace_slots, sum_outputs


def update_released(
    bank: BankState, found: LookupResult, positions: Tensor, config: MemoryConfig
) -> BankState:
    """Store one complete step.

    Tokens whose neighbors resemble them on average (between the thresholds) move every slot among
    their neighbors toward the tokens' common mean; tokens that resemble nothing take free slots,
    then the least used ones, in order. Merging comes first, and replacing sees its usage.

    Args:
        bank: The bank as the lookup met it.
        found: The lookup of the whole step, ``C`` tokens of each of ``B`` rows.
        positions: Position of each token in its sequence ``(B, C)``.
        config: Thresholds and momentum.

    Returns:
        The new contents; the old ones stay as they are.
    """
    familiar = found.live & (found.strength > config.theta_low)
    middle = familiar & (found.strength <= config.theta_high)
    merged = _merge_familiar(bank, found, middle, positions, config)
    return _replace_slots(bank, merged, found, found.live & ~familiar, positions)


def _merge_familiar(
    bank: BankState, found: LookupResult, middle: Tensor, positions: Tensor, config: MemoryConfig
) -> BankState:
    """Move the slots near familiar tokens toward those tokens' mean."""
    x, source = found.float_inputs()
    weights = (middle / middle.sum(1, keepdim=True).clamp(min=1))[:, None, :]
    near = _union_neighbors(found.top, middle, bank)
    old = config.momentum
    keys = old * bank.keys + (1 - old) * torch.bmm(weights, x)
    values = old * bank.values + (1 - old) * sum_outputs(found, source, weights, bank.values)
    last = positions.masked_fill(~middle, -1).amax(1, keepdim=True)
    return BankState(
        torch.where(near[..., None], keys, bank.keys),
        torch.where(near[..., None], values, bank.values),
        bank.usage + near,
        bank.filled,
        torch.where(near, last, bank.written),
    )


def _union_neighbors(top: Tensor, chosen: Tensor, bank: BankState) -> Tensor:
    """Return filled slots that are a neighbor of any of the chosen tokens ``(B, M)``."""
    hits = chosen[..., None].expand_as(top).flatten(1).to(torch.int64)
    near = torch.zeros_like(bank.usage).scatter_add(1, top.flatten(1), hits) > 0
    return near & bank.filled_mask


def _replace_slots(
    old: BankState, bank: BankState, found: LookupResult, novel: Tensor, positions: Tensor
) -> BankState:
    """Write novel tokens, in order, into free slots and then into the least used ones."""
    order = bank.usage.masked_fill(~bank.filled_mask, -1).argsort(dim=1, stable=True)
    rank = order.argsort(dim=1)
    seen = novel.to(torch.int64).cumsum(1)
    # The r-th novel token is the first one at which r + 1 of them have been seen.
    token = torch.searchsorted(seen, rank + 1).clamp(max=novel.shape[1] - 1)
    return replace_slots(bank, found, positions, token, rank < seen[:, -1:], old.values)
