"""Attention of a few queries to keys and values in eight bits, without unpacking them first.

In decoding, unpacking the whole past costs more than attending to it. Here the keys go through the
CPU's integer products as they are, and the scales of keys and values are folded into scores and
weights, of which there are few.
"""

from __future__ import annotations

import platform

import torch
from torch import Tensor

from pace_integrations.model.kv_cache.int8 import borrow_memory
from pace_integrations.model.precision import has_native_bfloat16

MOST_ROWS = 8  # more queries pay for unpacking
FEWEST_KEYS = 1024  # below it the calls cost more than they save
HALF = 128  # a query is two integers, high * 128 + low: fifteen bits


def takes_packed(query: Tensor, packed: Tensor) -> bool:
    """Return True if `attend_packed` is faster than unpacking here.

    Args:
        query: ``(batch, heads, queries, size)``.
        packed: Packed keys ``(batch, key heads, tokens, ...)``, or keys of another type.
    """
    if packed.dtype != torch.int8:
        return False
    rows = query.shape[1] // packed.shape[1] * query.shape[2] * query.shape[0] // packed.shape[0]
    if rows > MOST_ROWS or packed.shape[2] < FEWEST_KEYS or query.shape[3] % 2:
        return False
    # Memory that is borrowed in inference mode cannot be written outside it.
    on_cpu = query.device.type == "cpu" and torch.is_inference_mode_enabled()
    return on_cpu and _has_integer_products()


def _has_integer_products() -> bool:
    """Return True if PyTorch multiplies int8 matrices by the CPU's own instructions."""
    # x86 CPUs that compute in bfloat16 have VNNI too; elsewhere PyTorch may run a plain loop.
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and torch.backends.mkldnn.is_available() and has_native_bfloat16()


def attend_packed(
    query: Tensor, key: Tensor, value: Tensor, scale: float, size: int
) -> tuple[Tensor, Tensor]:
    """Return attention of queries that see all keys, and its log-sum-exp, in inference mode.

    Args:
        query: ``(batch, heads, queries, key size)`` in floating point.
        key: Packed keys ``(batch, heads, tokens, ...)``.
        value: Packed values, likewise.
        scale: Factor of the scores.
        size: Channels of the values.

    Returns:
        Outputs ``(batch, heads, queries, size)`` and sums ``(batch, heads, queries)``, in float32.
    """
    outs, sums = [], []
    for q, k, v in zip(query, key, value, strict=True):
        scores = _score_keys(q.float() * scale, k)
        weights = scores.softmax(-1)
        # The largest weight is exp(largest score - sum): no second pass of exponentials.
        sums.append(scores.amax(-1) - weights.amax(-1).log())
        outs.append(_sum_values(weights, v, size, query.dtype))
    return torch.stack(outs), torch.stack(sums)


def _score_keys(q: Tensor, packed: Tensor) -> Tensor:
    """Return products of queries ``(heads, rows, size)`` with packed keys, in float32."""
    (heads, rows, size), tokens = q.shape, packed.shape[1]
    scales = _unpack_scales(packed, size)
    groups = scales.shape[1]
    step = q.abs().amax(-1, keepdim=True).clamp(min=1e-30) / (127 * HALF)
    whole = (q / step).round_()
    high = (whole / HALF).round_()
    parts = torch.stack([high, whole.sub_(high, alpha=HALF)], dim=1)
    # Each group of channels has a row of its own, with zeros elsewhere: its scale is its own.
    spread = torch.zeros(heads, 2, groups, rows, groups, size // groups, dtype=torch.int8)
    spread.diagonal(dim1=2, dim2=4).copy_(parts.unflatten(-1, (groups, -1)).transpose(3, 4))
    spread = spread.view(heads, -1, size)
    products = torch.empty(heads, spread.shape[1], tokens, dtype=torch.int32)
    for head in range(heads):
        torch._int_mm(spread[head], packed[head, :, :size].t(), out=products[head])
    high, low = products.view(heads, 2, groups, rows, tokens).unbind(1)
    scores = low.add_(high, alpha=HALF).float().mul_(scales[:, :, None])
    return scores.sum(1).mul_(step)


def _sum_values(weights: Tensor, packed: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return packed values summed by weights ``(heads, rows, tokens)``, in float32.

    The product runs in `dtype`.
    """
    scales = _unpack_scales(packed, size)
    heads, groups, tokens = scales.shape
    spread = (weights[:, None] * scales[:, :, None]).to(dtype).flatten(1, 2)
    room = borrow_memory("values", (tokens, size), dtype, packed.device)
    outs = []
    for head in range(heads):
        room.copy_(packed[head, :, :size])  # integers are exact in bfloat16
        outs.append(spread[head] @ room)
    out = torch.stack(outs).float().view(heads, groups, -1, groups, size // groups)
    return out.diagonal(dim1=1, dim2=3).transpose(2, 3).flatten(2)


def _unpack_scales(packed: Tensor, size: int) -> Tensor:
    """Return the scales ``(heads, groups, tokens)`` of packed tokens, in float32."""
    scales = packed.view(torch.float16)[..., size // 2 :]  # two bytes each, behind the integers
    return scales.transpose(1, 2).contiguous().float()
