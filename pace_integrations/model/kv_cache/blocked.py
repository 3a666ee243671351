"""Attention by plain matrix products over blocks of queries, for bfloat16 on CPUs.

PyTorch's flash kernel multiplies small tiles. Whole rows of scores, in blocks that fit the cache of
a core, go through the CPU's bfloat16 instructions up to twice as fast. A score is rounded to eight
bits only after an estimate of its row's largest has been taken off within the product: what counts
lies near zero then, where eight bits are exact enough.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from pace_integrations.model.precision import has_native_bfloat16

BLOCK_SCORES = 2**18  # of one head at a time, for each thread
FEWEST_ROWS = 16  # fewer queries, as in decoding, are bound by memory
FEWEST_SCORES = 2**17  # of a head; below it the calls cost more than the products save
STRETCH = 128  # fresh tokens whose blocks look at equally many keys: each new shape costs
SAMPLED = 16  # of so many keys one is looked at to estimate the largest score of a row
LIMIT = 0x40C0  # 6.0 as bfloat16's bits: a score so far above the estimate corrects it


def pays_in_blocks(query: Tensor, key: Tensor) -> bool:
    """Return True if `attend_in_blocks` is faster than the kernel here.

    Args:
        query: ``(batch, heads, queries, size)``.
        key: ``(batch, key heads, tokens, size)``.
    """
    if query.dtype != torch.bfloat16 or query.device.type != "cpu" or not has_native_bfloat16():
        return False
    # By shapes alone: what is answered must not depend on how busy the machine was.
    rows = query.shape[1] // key.shape[1] * query.shape[2]
    return rows >= FEWEST_ROWS and rows * key.shape[2] >= FEWEST_SCORES


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, fresh: int = 0
) -> tuple[Tensor, Tensor]:
    """Return attention and its log-sum-exp.

    Args:
        query: ``(batch, heads, queries, size)``, of bfloat16 as the others.
        key: ``(batch, heads, tokens, size)``.
        value: Likewise.
        scale: Factor of the scores.
        fresh: How many of the last keys are the queries' own tokens and see each other causally;
            the queries of one token lie side by side. 0 lets every query see every key.

    Returns:
        Outputs ``(batch, heads, queries, size)`` and sums ``(batch, heads, queries)``, in float32.
    """
    out = torch.empty(*query.shape[:3], value.shape[-1])
    sums = torch.empty(query.shape[:3])
    # Heads one by one: a batched product would first copy keys that lie in a larger buffer.
    for place in itertools.product(*map(range, query.shape[:2])):
        _attend_head(query[place], key[place], value[place], scale, fresh, out[place], sums[place])
    return out, sums


def _attend_head(
    q: Tensor, k: Tensor, v: Tensor, scale: float, fresh: int, out: Tensor, sums: Tensor
) -> None:
    """Attend with one head's queries ``(rows, size)`` to its keys, into `out` and `sums`."""
    rows, tokens = q.shape[0], k.shape[0]
    group = rows // fresh if fresh else 1  # queries of one token
    stretch = STRETCH * group if fresh else rows
    later = torch.ones(STRETCH, STRETCH, dtype=torch.bool).triu_(1).repeat_interleave(group, dim=0)
    sampled = k[::SAMPLED].t()
    for first in range(0, rows, stretch):
        known = tokens - fresh + first // group if fresh else tokens  # keys that all of them see
        seen = min(tokens, known + STRETCH) if fresh else tokens
        queries = q[first : first + stretch]
        shifts = _estimate_shifts(queries, sampled[:, : -(-known // SAMPLED)], scale)
        if fresh:  # the nearest key is often the largest
            own = queries.unflatten(0, (-1, group)) * k[known:seen, None]
            shifts = torch.minimum(shifts, own.sum(-1).flatten()[:, None] * -scale)
        step = max(FEWEST_ROWS, BLOCK_SCORES * torch.get_num_threads() // seen)
        for start in range(0, queries.shape[0], step):
            block = slice(start, min(start + step, queries.shape[0]))
            place = slice(first + block.start, first + block.stop)
            hidden = later[block, : seen - known] if fresh else None
            weights, shift = _weigh_keys(queries[block], k[:seen], scale, shifts[block], hidden)
            total = weights.sum(-1, dtype=torch.float32)
            torch.div(weights @ v[:seen], total[:, None], out=out[place])
            torch.sub(total.log_(), shift[:, 0], out=sums[place])


def _weigh_keys(
    q: Tensor, k: Tensor, scale: float, shift: Tensor, hidden: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the exponentials of shifted scores ``(rows, tokens)`` and the shift ``(rows, 1)``.

    `hidden` says which of the last keys a query does not see.
    """
    scores = torch.empty(q.shape[0], k.shape[0], dtype=q.dtype)
    bits = scores.view(torch.int16)  # orders numbers from 0 on as they are, and all others below
    for corrected in (False, True):
        torch.addmm(shift, q, k.t(), alpha=scale, out=scores)
        if hidden is not None:
            scores[:, -hidden.shape[1] :].masked_fill_(hidden, float("-inf"))
        if corrected or int(bits.amax()) <= LIMIT:
            break
        shift = shift - bits.amax(-1, keepdim=True).clamp_(min=0).view(q.dtype)
    return scores.exp_(), shift


def _estimate_shifts(q: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Return minus the largest score of each query among some keys ``(size, keys)``."""
    if not keys.shape[1]:
        return q.new_full((q.shape[0], 1), float("inf"))
    bits = (q @ keys).view(torch.int16)
    top = bits.amax(-1, keepdim=True)
    # Numbers below 0, which count only in rows without others, are ordered the other way.
    return torch.where(top >= 0, top, bits.amin(-1, keepdim=True)).view(q.dtype) * -scale
