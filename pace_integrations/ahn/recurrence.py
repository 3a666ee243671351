r"""The recurrence of a fixed-size memory, token by token and in chunks.

Per head, with key k, value v, query q, decay g <= 0 (a logarithm) and write strength w:

    M <- exp(g) M                        forget
    M <- M + k (w (v - M^T k))^T         the delta rule; without it M <- M + w k v^T
    o  = scale * M^T q                   read, after the write

A chunk of C tokens is the same in products of matrices (arXiv 2412.06464): with G the running sum
of g, D[i, j] = exp(G_i - G_j) for j <= i, and U the values that are written,

    (I + tril(diag(w) D K K^T, -1)) U = diag(w) (V - diag(e^G) K M),  or U = diag(w) V
    O  = scale * (diag(e^G) Q M + (D Q K^T) U)
    M <- e^{G_C} M + (diag(e^{G_C - G}) K)^T U

Every exponent is at most 0, so nothing overflows. A token with w = 0 and g = 0 leaves no trace:
so padding is skipped.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 64  # tokens of one step of the chunked form


def run_recurrence(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    decay: Tensor,
    write: Tensor,
    state: Tensor,
    *,
    delta: bool,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Write and read token by token, which is what decoding does and what chunks must equal.

    Args:
        queries: ``(batch, heads, tokens, size)``; query i reads after key i was written.
        keys: ``(batch, heads, tokens, size)``.
        values: ``(batch, heads, tokens, width)``.
        decay: Logarithms of what is kept, at most 0 ``(batch, heads, tokens)``.
        write: Strength of each write ``(batch, heads, tokens)``.
        state: What was written before ``(batch, heads, size, width)``; it is left as it is.
        delta: Whether a write replaces what its key finds, instead of being added to it.
        scale: Factor of what is read.

    Returns:
        What the queries read ``(batch, heads, tokens, width)``, and the new state.
    """
    outs = []
    for i in range(keys.shape[2]):
        k, v = keys[:, :, i, :, None], values[:, :, i, None, :]
        state = state * decay[:, :, i, None, None].exp()
        if delta:
            v = v - k.mT @ state
        state = state + k * (write[:, :, i, None, None] * v)
        outs.append(queries[:, :, i, None, :] @ state)
    out = torch.cat(outs, dim=2) if outs else values[:, :, :0]
    return out * scale, state


def scan_chunks(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    decay: Tensor,
    write: Tensor,
    state: Tensor,
    *,
    delta: bool,
    scale: float,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Write and read in chunks; the result is that of `run_recurrence`, whose arguments these are.

    Args:
        queries: As there, and so on.
        keys: As there.
        values: As there.
        decay: As there.
        write: As there.
        state: As there.
        delta: As there.
        scale: As there.
        chunk: Most tokens of one step.
    """
    outs: list[Tensor] = []
    if not keys.shape[2]:
        return values, state
    whole = (queries, keys, values, decay, write)
    for q, k, v, g, w in zip(*(tensor.split(chunk, dim=2) for tensor in whole), strict=True):
        out, state = _run_chunk(q, k, v, g, w, state, delta=delta)
        outs.append(out)
    return torch.cat(outs, dim=2) * scale, state


def _run_chunk(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, write: Tensor, state: Tensor, *, delta: bool
) -> tuple[Tensor, Tensor]:
    total = decay.cumsum(-1)
    later = torch.ones(k.shape[2], k.shape[2], dtype=torch.bool, device=k.device).triu(1)
    # Masked before the exponential: above the diagonal the differences are positive.
    between = (total[..., :, None] - total[..., None, :]).masked_fill(later, float("-inf")).exp()
    since, strength = total.exp()[..., None], write[..., None]
    if delta:
        system = (strength * between * (k @ k.mT)).tril(-1)
        target = strength * (v - since * (k @ state))
        # Its diagonal is taken as ones, whatever stands there.
        made = torch.linalg.solve_triangular(system, target, upper=False, unitriangular=True)
    else:
        made = strength * v
    out = since * (q @ state) + (between * (q @ k.mT)) @ made
    left = (total[..., -1:] - total).exp()[..., None]
    return out, since[:, :, -1:] * state + (left * k).mT @ made
