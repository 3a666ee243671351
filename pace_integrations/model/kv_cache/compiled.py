"""Attention of a few queries to a long past, compiled by Numba where that is installed.

In decoding, attention reads each key and each value once and computes little with them. PyTorch's
kernel needs several times as long as memory does for that; these two loops do not, and compute in
float32 throughout, from bfloat16 as from eight bits.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pace_integrations.model.kv_cache.int8 import count_groups

MOST_ROWS = 8  # more queries of one key head pay for the kernels that PyTorch brings
FEWEST_KEYS = 512  # below it the calls cost more than they save
MOST_THREADS = 2  # these loops run on one
LANES = 16  # a vector is a multiple of this


def takes_compiled(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Return True if `attend_compiled` can be used here and is faster.

    Args:
        query: ``(batch, heads, queries, size)``.
        key: ``(1 or batch, key heads, tokens, size)``.
        value: Likewise.
    """
    if key.dtype not in (torch.bfloat16, torch.int8) or key.device.type != "cpu":
        return False
    rows = query[0].numel() * query.shape[0] // (key.shape[0] * key.shape[1] * query.shape[3])
    if rows > MOST_ROWS or key.shape[2] < FEWEST_KEYS or query.shape[3] % LANES:
        return False
    # By shapes and settings alone: answers must not depend on how busy the machine was.
    alike = key.shape == value.shape and key.dtype == value.dtype
    dense = all(t.stride()[2:] == (t.shape[3], 1) for t in (key, value))
    threads = torch.get_num_threads() <= MOST_THREADS
    return alike and dense and threads and _has_numba() and torch.is_inference_mode_enabled()


def attend_compiled(
    query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return attention of queries that see all keys, and its log-sum-exp.

    Args:
        query: ``(batch, heads, queries, size)``.
        key: ``(batch, heads, tokens, size)`` of bfloat16, or packed.
        value: Likewise.
        scale: Factor of the scores.

    Returns:
        Outputs ``(batch, heads, queries, size)`` and sums ``(batch, heads, queries)``, in float32.
    """
    (batch, heads, rows, size), tokens = query.shape, key.shape[2]
    score, mix = _compile_kernels(size, count_groups(size) if key.dtype == torch.int8 else 0)
    queries = (query.float() * scale).reshape(batch, -1).numpy()
    scores = torch.empty(batch, heads, rows, tokens)
    for q, k, out in zip(queries, key, scores.view(batch, -1).numpy(), strict=True):
        score(q, _flatten(k), heads, tokens, k.stride(0), out)
    weights = scores.softmax(-1)
    # The largest weight is exp(largest score - sum): no second pass of exponentials.
    sums = scores.amax(-1) - weights.amax(-1).log_()
    outs = torch.zeros(batch, heads, rows, size)
    flat = weights.view(batch, -1).numpy(), outs.view(batch, -1).numpy()
    for w, v, out in zip(flat[0], value, flat[1], strict=True):
        mix(w, _flatten(v), heads, tokens, v.stride(0), out)
    return outs, sums


@cache
def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def _flatten(held: Tensor) -> NDArray[Any]:
    """Return keys or values ``(heads, tokens, size)`` as they lie in memory, gaps included."""
    heads, tokens, size = held.shape
    bits = held if held.dtype == torch.int8 else held.view(torch.uint16)
    return bits.as_strided(((heads - 1) * held.stride(0) + tokens * size,), (1,)).numpy()


@cache
def _compile_kernels(size: int, groups: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the loops over keys and over values; see `loops.py`.

    Args:
        size: Channels of a head.
        groups: Groups of packed channels that have a scale each; 0 is bfloat16.
    """
    from pace_integrations.model.kv_cache.loops import make_mix, make_score

    return make_score(size, groups), make_mix(size, groups)
