"""Attention by plain matrix products over blocks of queries, for bfloat16 on CPUs.

PyTorch's flash kernel multiplies small tiles. Whole rows of scores, in blocks that fit the cache of
a core, go through the CPU's bfloat16 instructions up to twice as fast. As in Transformers' eager
attention, scores and weights are rounded to bfloat16 and the softmax runs in float32.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from pace_integrations.model.precision import has_native_bfloat16

BLOCK_SCORES = 2**17  # of one head at a time, for each thread
FEWEST_ROWS = 16  # fewer queries, as in decoding, are bound by memory: products would copy the keys
# Before this much has been read attention is a small part of the work, and the kernel, whose scores
# stay in float32, is the more exact. A fixed number, not a measurement at run time: what was read
# must not depend on how busy the machine was.
FEWEST_KEYS = 2048


def pays_in_blocks(query: Tensor, key: Tensor) -> bool:
    """Return True if `attend_in_blocks` is worth its rounding here."""
    if query.dtype != torch.bfloat16 or query.device.type != "cpu" or not has_native_bfloat16():
        return False
    return query.shape[2] >= FEWEST_ROWS and key.shape[2] >= FEWEST_KEYS


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return attention of queries that see all keys, and its log-sum-exp.

    Args:
        query: ``(batch, heads, queries, size)``, of bfloat16 as the others.
        key: ``(batch, heads, tokens, size)``.
        value: Likewise.
        scale: Factor of the scores.

    Returns:
        Outputs ``(batch, heads, queries, size)``, and sums ``(batch, heads, queries)`` in float32.
    """
    out = value.new_empty(*query.shape[:3], value.shape[-1])
    sums = torch.empty(query.shape[:3])
    rows = max(FEWEST_ROWS, BLOCK_SCORES * torch.get_num_threads() // key.shape[2])
    scaled = query * scale
    # Heads one by one: a batched product would first copy keys that lie in a larger buffer.
    for place in itertools.product(*map(range, query.shape[:2])):
        q, k, v = scaled[place], key[place].t(), value[place]
        for start in range(0, q.shape[0], rows):
            block = slice(start, start + rows)
            scores = q[block] @ k
            weights = scores.softmax(-1)  # computed in float32, rounded once
            # The largest weight is exp(largest score - sum): no second pass of exponentials.
            sums[place][block] = _find_largest(scores) - _find_largest(weights).log()
            torch.mm(weights, v, out=out[place][block])
    return out, sums


def _find_largest(rows: Tensor) -> Tensor:
    """Return the largest number of each row of bfloat16 ``(rows, columns)``, in float32."""
    # Compared as integers, six times as fast: numbers from 0 on keep their order, negative ones
    # (which count only in rows without others) turn it round.
    bits = rows.view(torch.int16)
    top = bits.amax(-1)
    return torch.where(top >= 0, top, bits.amin(-1)).view(torch.bfloat16).float()
