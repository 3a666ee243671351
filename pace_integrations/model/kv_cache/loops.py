"""The loops of `compiled.py`, which Numba compiles once for each size of a head.

Kept apart, as this module needs Numba. Compiled code is kept beside this file or in the user's
cache folder, so that only the first process on a machine waits for the compiler.
"""

# Numba has no types of its own, and compiles what follows by the types that it is called with.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

BLOCK = 16  # keys widened at a time: larger blocks keep the CPU from reading ahead
FOUR = 4  # values summed at a time: fewer loads and stores of the sums
SUMMED = 64  # values in a sum before it goes into the whole one: its rounding stays that of a few
# Sums may be reordered, but NaN stays NaN.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},
}


def compile_loop(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function that is compiled at its first call."""
    try:
        compiled: Callable[..., None] = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder to keep compiled code in
        compiled = numba.njit(**OPTIONS)(function)
    return compiled


@numba.njit(inline="always")
def widen(number):
    """Return bfloat16's bits as float32, of which they are the upper half."""
    return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)


@numba.njit(inline="always")
def read_scale(held, place):
    """Return the float16, never below 0, whose two bytes lie at a place, as float32."""
    low, high = np.uint32(np.uint8(held[place])), np.uint32(np.uint8(held[place + 1]))
    # Its bits in float32's places; the two count exponents from different numbers.
    bits = np.uint32((high << np.uint32(21)) | (low << np.uint32(13)))
    return bits.view(np.float32) * np.float32(2.0**112)


@numba.njit(inline="always")
def move_sums(sums, outs):
    """Add sums to others, and begin them anew."""
    for i in range(sums.size):
        outs[i] += sums[i]
        sums[i] = 0.0


def make_score(size: int, groups: int) -> Callable[..., None]:
    """Return the loop that multiplies queries with keys.

    It takes queries ``(heads, rows, size)`` in float32, the keys, numbers of heads and tokens, the
    distance of two heads, and scores ``(heads, rows, all tokens)`` with where in each row to begin
    and how long a row is: several segments share one array of scores. Every array is flat.

    Args:
        size: Channels of a head.
        groups: Groups of channels that have a scale each, in packed keys; 0 is bfloat16.
    """
    # Closures over numbers alone: over functions, compiled code would not be found again.
    # Slices and flat places, and what is written twice: the forms that LLVM makes vectors of.
    width, parts = size + 2 * groups, max(groups, 1)
    group = size // parts

    def score(queries, keys, heads, tokens, stride, out, offset, length):
        wide = np.empty(BLOCK * width, np.float32)
        rows = queries.size // (heads * size)
        for head in range(heads):
            for first in range(0, tokens, BLOCK):
                count = min(BLOCK, tokens - first)
                start = head * stride + first * width
                held = keys[start : start + count * width]
                for i in range(count * width):
                    wide[i] = widen(held[i]) if groups == 0 else np.float32(held[i])
                for i in range(count * groups):
                    place, part = i // parts * width, i % parts
                    scale = read_scale(held, place + size + 2 * part)
                    scaled = wide[place + part * group : place + (part + 1) * group]
                    for j in range(group):
                        scaled[j] *= scale
                for row in range(head * rows, (head + 1) * rows):
                    query = queries[row * size : (row + 1) * size]
                    begin = row * length + offset + first
                    scores = out[begin : begin + count]
                    for j in range(count):
                        key = wide[j * width : j * width + size]
                        total = np.float32(0.0)
                        for i in range(size):
                            total += query[i] * key[i]
                        scores[j] = total

    return compile_loop(score)


def make_mix(size: int, groups: int) -> Callable[..., None]:
    """Return the loop that adds values up by weights.

    It takes weights ``(heads, rows, all tokens)``, values and numbers as `make_score`'s loop does,
    and adds to outputs ``(heads, rows, size)``.

    Args:
        size: Channels of a head.
        groups: As in `make_score`.
    """
    width, parts = size + 2 * groups, max(groups, 1)
    group = size // parts

    def mix(weights, values, heads, tokens, stride, out, offset, length):
        scales = np.ones(FOUR * parts, np.float32)
        rows = out.size // (heads * size)
        whole = tokens // FOUR * FOUR
        sums = np.zeros(rows * size, np.float32)
        for head in range(heads):
            outs = out[head * rows * size : (head + 1) * rows * size]
            for first in range(0, whole, FOUR):
                if first % SUMMED == 0:
                    move_sums(sums, outs)
                start = head * stride + first * width
                held = values[start : start + FOUR * width]
                for i in range(FOUR * groups):
                    scales[i] = read_scale(held, i // parts * width + size + i % parts * 2)
                for row in range(rows):
                    total = sums[row * size : (row + 1) * size]
                    begin = (head * rows + row) * length + offset + first
                    four = weights[begin : begin + FOUR]
                    for part in range(parts):
                        a, b = four[0] * scales[part], four[1] * scales[parts + part]
                        c, d = (
                            four[2] * scales[2 * parts + part],
                            four[3] * scales[3 * parts + part],
                        )
                        for i in range(part * group, (part + 1) * group):
                            p, q = held[i], held[width + i]
                            r, s = held[2 * width + i], held[3 * width + i]
                            if groups == 0:
                                near = a * widen(p) + b * widen(q)
                                total[i] += near + (c * widen(r) + d * widen(s))
                            else:
                                near = a * np.float32(p) + b * np.float32(q)
                                total[i] += near + (c * np.float32(r) + d * np.float32(s))
            move_sums(sums, outs)
            for last in range(whole, tokens):
                start = head * stride + last * width
                held = values[start : start + width]
                for row in range(head * rows, (head + 1) * rows):
                    weight = weights[row * length + offset + last]
                    for i in range(size):
                        if groups == 0:
                            out[row * size + i] += weight * widen(held[i])
                        else:
                            scale = read_scale(held, size + 2 * (i // group))
                            out[row * size + i] += weight * scale * np.float32(held[i])

    return compile_loop(mix)
