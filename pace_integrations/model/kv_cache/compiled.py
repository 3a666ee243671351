"""Attention of a few queries to a long past, compiled by Numba where that is installed.

In decoding, attention reads each key and each value once and computes little with them. PyTorch's
kernel needs several times as long as memory does for that; these two loops do not, and compute in
float32 throughout, from bfloat16 as from eight bits.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
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

_SCORE, _MIX = 0, 1  # places of the two loops

Pair = tuple[Tensor, Tensor]


def takes_compiled(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Return True if `attend_compiled` can be used here and is faster.

    Args:
        query: ``(batch, heads, queries, size)``.
        key: ``(1 or batch, key heads, tokens, size)``.
        value: Likewise.
    """
    if not (_has_numba() and torch.is_inference_mode_enabled()):
        return False  # the cheapest look first: each layer asks for each token
    rows = query[0].numel() * query.shape[0] // (key.shape[0] * key.shape[1] * query.shape[3])
    if rows > MOST_ROWS or key.shape[2] < FEWEST_KEYS or query.shape[3] % LANES:
        return False
    # By shapes and settings alone: answers must not depend on how busy the machine was.
    threads = torch.get_num_threads() <= MOST_THREADS
    return _fits(key, value) and threads


def take_all_compiled(query: Tensor, pairs: Sequence[Pair]) -> bool:
    """Return True if one token's queries can attend to all segments in one call.

    Args:
        query: ``(1, heads, 1, size)``.
        pairs: Keys and values of each segment, ``(1, key heads, tokens, size)``.
    """
    one = query.shape[0] == query.shape[2] == 1
    return (
        one
        and any(takes_compiled(query, *pair) for pair in pairs)
        and all(_fits(*pair) for pair in pairs)
    )


def attend_all_compiled(query: Tensor, pairs: Sequence[Pair], scale: float) -> Tensor:
    """Return attention of one token that sees all keys of some segments, in float32.

    One softmax over all of them: there are no partial results to merge.

    Args:
        query: ``(1, heads, 1, size)``.
        pairs: Keys and values of each segment, ``(1, key heads, tokens, size)``.
        scale: Factor of the scores.
    """
    heads = pairs[0][0].shape[1]
    folded = query.reshape(1, heads, -1, query.shape[3])
    weights = _score(folded, [key for key, _ in pairs], scale).softmax(-1)
    return _mix(weights, [value for _, value in pairs], query.shape[3]).view(query.shape)


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
    scores = _score(query, [key], scale)
    weights = scores.softmax(-1)
    # The largest weight is exp(largest score - sum): no second pass of exponentials.
    sums = scores.amax(-1) - weights.amax(-1).log_()
    return _mix(weights, [value], query.shape[3]), sums


def _fits(key: Tensor, value: Tensor) -> bool:
    """Return True if the loops can read keys and values as they lie in memory."""
    known = key.dtype in (torch.bfloat16, torch.int8) and key.device.type == "cpu"
    alike = key.shape == value.shape and key.dtype == value.dtype
    return known and alike and all(t.stride()[2:] == (t.shape[3], 1) for t in (key, value))


def _score(query: Tensor, keys: Sequence[Tensor], scale: float) -> Tensor:
    """Return the scores ``(batch, heads, queries, tokens of all segments)``."""
    scores = torch.empty(*query.shape[:3], sum(key.shape[2] for key in keys))
    _run_loops(_SCORE, (query.float() * scale).contiguous(), keys, scores, query.shape[3])
    return scores


def _mix(weights: Tensor, values: Sequence[Tensor], size: int) -> Tensor:
    """Return the weighted sums ``(batch, heads, queries, size)`` of the values of all segments."""
    sums = torch.zeros(*weights.shape[:3], size)
    _run_loops(_MIX, weights, values, sums, size)
    return sums


def _run_loops(
    which: int, given: Tensor, segments: Sequence[Tensor], outs: Tensor, size: int
) -> None:
    """Run one of the two loops over each row's part of each segment, one after the other."""
    batch, heads = given.shape[:2]
    length, offset = sum(held.shape[2] for held in segments), 0
    ins, flat = (tensor.view(batch, -1).numpy() for tensor in (given, outs))
    for held in segments:
        groups = count_groups(size) if held.dtype == torch.int8 else 0
        loop, tokens = _compile_kernels(size, groups)[which], held.shape[2]
        for own, part, out in zip(ins, held, flat, strict=True):
            loop(own, _flatten(part), heads, tokens, part.stride(0), out, offset, length)
        offset += tokens


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
