"""Attention masks by which a plain forward does what pages that were read apart do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mask_blocks(lengths: Sequence[int], size: int) -> Tensor:
    """Return a mask under which blocks do not see each other, and what follows sees all.

    Returns:
        What is added to scores ``(1, 1, size, size)``.
    """
    seen = torch.ones(size, size, dtype=torch.bool).tril()
    start = 0
    for length in lengths:
        seen[start : start + length, :start] = False
        start += length
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]
