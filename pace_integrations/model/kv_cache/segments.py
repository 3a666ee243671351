"""Keys and values in segments: what is shared stays shared, what is new is written once.

Transformers' growing layer copies the whole past at every update. Here each layer keeps the past of
the layer it was forked from as read-only segments and writes its own tokens into a buffer with room
to spare, so that a fork costs nothing and a token costs its own size. `attention.py` attends to the
segments one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pace_integrations.model._transformers import CacheLayer
from pace_integrations.model.kv_cache.int8 import (
    Kind,
    Kinds,
    Pair,
    pack_pair,
    unpack_int8,
    unpack_pair,
)

ROOM = 256
MOST_SEGMENTS = 8
MOST_OPENED = 1024

Pairs = tuple[Pair, ...]  # of segments, in order

_mode = threading.local()


class Segments:
    """The keys or the values of a layer, in order.

    Args:
        shared: Segments that other layers may share ``(1 or batch, heads, tokens, size)``.
        own: This layer's tokens ``(batch, heads, tokens, size)``.
        fresh: How many of them the running forward added; those see each other causally.
        padding: Tokens at the start of `own` that are padding ``(batch,)``, or None.
        packed: Channels and type of what is packed in eight bits, or None where nothing is. What
            is not int8 among it is unpacked already.
    """

    def __init__(
        self,
        shared: tuple[Tensor, ...],
        own: Tensor,
        fresh: int,
        padding: Tensor | None,
        packed: Kind | None = None,
    ) -> None:
        self.shared = shared
        self.own = own
        self.fresh = fresh
        self.padding = padding
        self.packed = packed

    def to_dense(self) -> Tensor:
        """Return all segments as one plain tensor, copied."""
        batch = self.own.shape[0]
        parts = [self.unpack(part) for part in (*self.shared, self.own)]
        return torch.cat([part.expand(batch, -1, -1, -1) for part in parts], dim=2)

    def unpack(self, part: Tensor, room: str | None = None) -> Tensor:
        """Return a part of it to compute with; `room` as in `unpack_int8`."""
        is_packed = self.packed is not None and part.dtype == torch.int8
        return unpack_int8(part, *self.packed, room) if self.packed and is_packed else part


def to_dense(value: Segments | Tensor) -> Tensor:
    """Return segments as one tensor, and a tensor as it is."""
    return value.to_dense() if isinstance(value, Segments) else value


@contextmanager
def segments_returned() -> Iterator[None]:
    """Make layers that are updated inside, in this thread, return segments instead of tensors."""
    before = getattr(_mode, "on", False)
    _mode.on = True
    try:
        yield
    finally:
        _mode.on = before


class SegmentLayer(CacheLayer):
    """One layer's keys and values: shared segments, then a buffer of its own.

    Attributes:
        packs: Whether tokens are held in eight bits.
        padding: Tokens at the start of its own that are padding ``(batch,)``, or None.
    """

    packs = False

    def __init__(self) -> None:
        super().__init__()
        self.padding: Tensor | None = None
        self._shared: Pairs = ()
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._length = 0
        self._room = ROOM
        # A fork looks into the buffer: what it sees must not be written over.
        self._seen = 0

    def hold_pair(self, keys: Tensor, values: Tensor) -> None:
        """Replace what it holds by keys and values, which are packed already if it packs."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self._shared, self._keys, self._values = ((keys, values),), None, None
        self._length, self._seen, self._room = 0, 0, ROOM

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take type and device from the first tokens."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(  # type: ignore[override]  # segments stand in for tensors
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Segments, Segments] | tuple[Tensor, Tensor]:
        """Append tokens; return all keys and all values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        fresh, dtype = key_states.shape[2], key_states.dtype
        kinds = (key_states.shape[-1], dtype), (value_states.shape[-1], dtype)
        if self.packs:
            key_states, value_states = pack_pair(key_states, value_states)
        self._keys = _append_tokens(self._keys, key_states, self._length, self._room)
        self._values = _append_tokens(self._values, value_states, self._length, self._room)
        self._length += fresh
        shared, own = self._list_parts((key_states, value_states), kinds)
        keys, values = zip(*shared, strict=True) if shared else ((), ())
        packed = kinds if self.packs else (None, None)
        pair = (
            Segments(keys, own[0], fresh, self.padding, packed[0]),
            Segments(values, own[1], fresh, self.padding, packed[1]),
        )
        return pair if getattr(_mode, "on", False) else (pair[0].to_dense(), pair[1].to_dense())

    def _list_parts(self, new: Pair, kinds: Kinds) -> tuple[Pairs, Pair]:
        """Return shared segments and all own tokens, of which `new` were just appended."""
        assert self._keys is not None
        assert self._values is not None
        return self._shared, (
            self._keys[:, :, : self._length],
            self._values[:, :, : self._length],
        )

    def reserve(self, tokens: int) -> None:
        """Announce that `tokens` more will come, so that the buffer is allocated once."""
        self._room = self._length + tokens

    def fork(self) -> SegmentLayer:
        """Return a layer that continues from this one and leaves it as it is."""
        twin = type(self)()
        twin.is_initialized = self.is_initialized
        if self.is_initialized:
            twin.dtype, twin.device = self.dtype, self.device
        # Views: the twin appends to a buffer of its own, and this layer behind what the twin sees.
        twin._shared = self.list_segments()
        self._seen = max(self._seen, self._length)
        # Each segment costs a kernel call at every token; beyond a few, one copy is cheaper.
        if len(twin._shared) > MOST_SEGMENTS:
            twin._shared = (_join_segments(twin._shared),)
        return twin

    def list_segments(self) -> Pairs:
        """Return views of keys and values ``(batch, heads, tokens, ...)`` as held, in order."""
        if self._keys is None or self._values is None or not self._length:
            return self._shared
        own = (self._keys[:, :, : self._length], self._values[:, :, : self._length])
        return (*self._shared, own)

    def select_rows(self, rows: Tensor) -> None:
        """Keep some rows of its own tokens; shared ones serve any number of rows."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]
        self.padding = None if self.padding is None else self.padding[rows]

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the last ``-tokens_to_remove`` tokens."""
        kept = self.get_seq_length() + tokens_to_remove
        shared = sum(keys.shape[2] for keys, _ in self._shared)
        # The buffer may be written again from `kept` on, unless a fork looks at what is there.
        if kept >= shared and kept - shared >= self._seen:
            self._length = kept - shared
            return
        self._shared = _first_tokens(self.list_segments(), kept)
        self._keys = self._values = None
        self._length = self._seen = 0

    def get_seq_length(self) -> int:
        """Return the number of tokens held, padding included."""
        return sum(keys.shape[2] for keys, _ in self._shared) + self._length


class PackedLayer(SegmentLayer):
    """One layer's keys and values in eight bits.

    Up to 1,024 tokens of each kind, shared and own, are also held unpacked while they are read
    from: unpacking them anew for every token that is written would cost more than attending.
    """

    packs = True

    def __init__(self) -> None:
        super().__init__()
        self._opened_shared: Pairs | None = None
        self._opened: Pair | None = None
        self._opened_length = 0

    def hold_pair(self, keys: Tensor, values: Tensor) -> None:
        """Replace what it holds by packed keys and values."""
        super().hold_pair(keys, values)
        self._close()

    def select_rows(self, rows: Tensor) -> None:
        """Keep some rows of its own tokens; shared ones serve any number of rows."""
        super().select_rows(rows)
        self._opened, self._opened_length = None, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the last ``-tokens_to_remove`` tokens."""
        before = self._shared
        super().crop(tokens_to_remove)
        if self._shared is not before:
            self._close()
        self._opened_length = min(self._opened_length, self._length)

    def _close(self) -> None:
        self._opened_shared, self._opened, self._opened_length = None, None, 0

    def _list_parts(self, new: Pair, kinds: Kinds) -> tuple[Pairs, Pair]:
        shared, own = super()._list_parts(new, kinds)
        if shared and sum(keys.shape[2] for keys, _ in shared) <= MOST_OPENED:
            if self._opened_shared is None:
                self._opened_shared = tuple(unpack_pair(pair, kinds) for pair in shared)
            shared = self._opened_shared
        if self._length > MOST_OPENED:
            self._opened, self._opened_length = None, 0
            return shared, own
        length, fresh = self._opened_length, new[0].shape[2]
        if self._opened is None or length + fresh != self._length:
            new, length, self._opened = own, 0, None
        held = self._opened or (None, None)
        opened = [
            _append_tokens(buffer, part, length, ROOM)
            for buffer, part in zip(held, unpack_pair(new, kinds), strict=True)
        ]
        self._opened, self._opened_length = (opened[0], opened[1]), self._length
        return shared, (opened[0][:, :, : self._length], opened[1][:, :, : self._length])


def _append_tokens(buffer: Tensor | None, new: Tensor, length: int, room: int) -> Tensor:
    """Return `buffer`, or a larger one, with `new` written at `length`."""
    stop = length + new.shape[2]
    held = 0 if buffer is None else buffer.shape[2]
    if buffer is None or held < stop:
        batch, heads, _, size = new.shape
        # Half as much again, so that appending token by token copies each one a few times only.
        larger = new.new_empty(batch, heads, max(stop, room, held + held // 2), size)
        if buffer is not None:
            larger[:, :, :length] = buffer[:, :, :length]
        buffer = larger
    buffer[:, :, length:stop] = new
    return buffer


def _join_segments(segments: Pairs) -> tuple[Tensor, Tensor]:
    keys, values = zip(*segments, strict=True)
    return torch.cat(keys, dim=2), torch.cat(values, dim=2)


def _first_tokens(segments: Pairs, tokens: int) -> Pairs:
    """Return views of the first `tokens`."""
    kept = []
    for keys, values in segments:
        count = min(keys.shape[2], tokens)
        if count > 0:
            kept.append((keys[:, :, :count], values[:, :, :count]))
        tokens -= count
    return tuple(kept)
