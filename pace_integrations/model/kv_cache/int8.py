"""Keys and values in eight bits: half of bfloat16's memory, a quarter of float32's.

Each group of at most 32 neighboring channels of one token is stored as integers from -127 to 127
and one scale in float16. A token is packed when it comes and is seen packed by everybody, itself
included, so that forks and saved files change nothing, and chunks only what rounding does. The
scales lie behind the integers in one tensor, which can be cut, joined and saved along its tokens
like any other.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # keys and values
Kind = tuple[int, torch.dtype]  # channels and type of what is packed
Kinds = tuple[Kind, Kind]  # of keys and of values

GROUP = 32  # most channels under one scale
_rooms = threading.local()
_LARGEST = torch.finfo(torch.float16).max * 127


def count_groups(size: int) -> int:
    """Return into how many groups of equal size channels are divided."""
    return next(n for n in range(-(-size // GROUP), size + 1) if size % n == 0)


def pack_int8(tokens: Tensor) -> Tensor:
    """Pack keys or values.

    Args:
        tokens: ``(..., size)`` in floating point.

    Returns:
        Integers and scales, int8 ``(..., size + 2 * groups)``.
    """
    split = tokens.float().unflatten(-1, (count_groups(tokens.shape[-1]), -1))
    split = split.clamp(-_LARGEST, _LARGEST)
    scales = (split.abs().amax(-1) / 127).half()
    # What is below float16's smallest number is zero, and zero divides nothing.
    whole = torch.where(scales == 0, 1.0, scales.float())[..., None]
    integers = (split / whole).round().clamp(-127, 127).to(torch.int8).flatten(-2)
    packed: Tensor = torch.cat([integers, scales.view(torch.int8)], dim=-1)
    return packed


def unpack_int8(packed: Tensor, size: int, dtype: torch.dtype, room: str | None = None) -> Tensor:
    """Unpack keys or values ``(..., size)``, as closely as eight bits hold them.

    Args:
        packed: Integers and scales.
        size: Channels.
        dtype: Type to compute in.
        room: Name of this thread's memory to unpack into, which the next call with the same name
            overwrites; None takes new memory.
    """
    scales = packed[..., size:].contiguous().view(torch.float16).to(dtype)
    integers = packed[..., :size].unflatten(-1, (scales.shape[-1], -1))
    shape = (*packed.shape[:-1], size)
    if room is None or not torch.is_inference_mode_enabled():
        out = torch.empty(shape, dtype=dtype, device=packed.device)
    else:
        out = borrow_memory(room, shape, dtype, packed.device)
    torch.mul(integers, scales[..., None], out=out.unflatten(-1, (scales.shape[-1], -1)))
    return out


def pack_pair(keys: Tensor, values: Tensor) -> Pair:
    """Pack keys and values, in one pass where they are alike."""
    if keys.shape != values.shape:
        return pack_int8(keys), pack_int8(values)
    packed = pack_int8(torch.stack([keys, values]))
    return packed[0], packed[1]


def unpack_pair(pair: Pair, kinds: Kinds) -> Pair:
    """Unpack keys and values, in one pass where they are alike."""
    if pair[0].shape != pair[1].shape:
        return unpack_int8(pair[0], *kinds[0]), unpack_int8(pair[1], *kinds[1])
    unpacked = unpack_int8(torch.stack(pair), *kinds[0])
    return unpacked[0], unpacked[1]


def borrow_memory(
    name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return this thread's memory of a name, which its next call with that name overwrites.

    Allocating it anew would cost more than computing what it holds.
    """
    rooms = _rooms.__dict__
    key, count = f"{name} {dtype} {device}", math.prod(shape)
    if key not in rooms or rooms[key].numel() < count:
        rooms[key] = torch.empty(count, dtype=dtype, device=device)
    room: Tensor = rooms[key]
    return room[:count].view(*shape)
