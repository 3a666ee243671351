"""Page attention: each page a block of its own, read once and put together in any order.

The head of the prompt and every page are blocks. A token of a block sees its own block up to
itself and nothing else; question and answer see everything. So the keys and values of a page
depend on its tokens alone. They are kept as of the positions 0, 1, 2, ... and the keys are rotated
to their place when they are used. The result is one forward under the mask of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import Cache, PreTrainedModel
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache.attention import record_queries
from pace_integrations.model.kv_cache.cache import new_cache
from pace_integrations.model.kv_cache.rotation import KeyRotation
from pace_integrations.model.kv_cache.segments import SegmentLayer, segments_returned

SINKS = 4  # first tokens of a block: its attention sink, alike in every block


@dataclass(frozen=True, slots=True)
class BlockState:
    """What a model holds of a block that it has read by itself.

    Attributes:
        keys: ``(layers, key heads, tokens, size)``, rotated as of the positions 0, 1, 2, ...
        values: ``(layers, key heads, tokens, size)``.
    """

    keys: Tensor
    values: Tensor

    @property
    def tokens(self) -> int:
        """Tokens of the block."""
        return int(self.keys.shape[2])

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.keys.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True)
class RowsContext:
    """Blocks put together for several rows, each to be continued by itself.

    Attributes:
        cache: What the rows have read; they share what is common.
        lengths: Tokens of each row.
    """

    cache: Cache
    lengths: tuple[int, ...]


class PageAttention:
    """Reads blocks with one model and puts them together.

    The bits of a state must not depend on what was read beside it. Kernels choose how to add up by
    the shape of what they get, so a block always goes through the model in the same shape: on
    CPUs alone and unpadded, which costs next to nothing there; on other devices in batches of one
    size, padded to a multiple of `multiple` that the block's own length decides, and filled up
    with copies where there are not enough blocks.

    Args:
        model: A causal language model.
        rows: Blocks of one forward; None takes 1 on CPUs and 16 elsewhere.
        multiple: What lengths are padded to where `rows` is more than 1.

    Raises:
        ConfigError: The model's keys cannot be moved, so that its pages cannot be kept.
    """

    def __init__(
        self, model: PreTrainedModel, *, rows: int | None = None, multiple: int = 64
    ) -> None:
        self.rotation = KeyRotation(model)
        self._model = model
        self._rows = rows or (1 if model.device.type == "cpu" else 16)
        self._multiple = multiple if self._rows > 1 else 1

    def read_blocks(self, blocks: Sequence[Sequence[int]]) -> Iterator[tuple[int, BlockState]]:
        """Read blocks, each by itself.

        Args:
            blocks: Token ids of each block, at least one.

        Yields:
            The index of a block and its state, in main memory; those of like length in turn.
        """
        shapes: dict[int, list[int]] = {}
        for i, block in enumerate(blocks):
            shapes.setdefault(-(-len(block) // self._multiple), []).append(i)
        for steps, members in shapes.items():
            for start in range(0, len(members), self._rows):
                batch = members[start : start + self._rows]
                width = steps * self._multiple if self._rows > 1 else len(blocks[batch[0]])
                yield from zip(
                    batch, self._read_batch([blocks[i] for i in batch], width), strict=True
                )

    def _read_batch(self, blocks: Sequence[Sequence[int]], width: int) -> list[BlockState]:
        filled = [*blocks, *[blocks[0]] * (self._rows - len(blocks))]
        # Behind a block's end its own tokens come again; attention looks back only.
        rows = [[*block, *[block[0]] * (width - len(block))] for block in filled]
        cache = new_cache(self._model)
        ids = torch.tensor(rows, device=self._model.device)
        for _ in prefill(self._model, ids, cache, chunk=width, around=nullcontext):
            pass
        pairs = [layer.list_segments()[0] for layer in _segment_layers(cache)]
        shapes = {(tuple(keys.shape), tuple(values.shape)) for keys, values in pairs}
        if len(shapes) > 1:
            raise ConfigError("the layers of this model differ in shape; use attention='full'")
        keys, values = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
        return [
            BlockState(*(t[:, i, :, : len(block)].contiguous().cpu() for t in (keys, values)))
            for i, block in enumerate(blocks)
        ]

    def stitch(self, blocks: Sequence[BlockState]) -> Cache:
        """Put blocks together, one after the other, as one row that can be continued."""
        cache = new_cache(self._model)
        keys, values = self._place(blocks, 0)
        for layer, k, v in zip(_segment_layers(cache), keys, values, strict=True):
            layer.hold_pair(k[None], v[None])
        return cache

    def stitch_rows(self, head: BlockState, rows: Sequence[Sequence[BlockState]]) -> RowsContext:
        """Put blocks together for several rows behind one head.

        Args:
            head: The block that all rows begin with; it is held once.
            rows: What follows in each row, at least one block.
        """
        if len(rows) == 1:
            return RowsContext(
                self.stitch([head, *rows[0]]), (sum(b.tokens for b in (head, *rows[0])),)
            )
        cache, placed = self.stitch([head]), [self._place(row, head.tokens) for row in rows]
        widths = [keys.shape[2] for keys, _ in placed]
        longest = max(widths)
        padding = torch.tensor([longest - width for width in widths], device=self._model.device)
        for i, layer in enumerate(_segment_layers(cache)):
            pair = [
                torch.stack(
                    [nn.functional.pad(row[i], (0, 0, longest - row.shape[2], 0)) for row in kind]
                )
                for kind in zip(*placed, strict=True)
            ]
            with segments_returned():  # nothing is joined
                layer.update(*pair)
            layer.padding = padding
        return RowsContext(cache, tuple(head.tokens + width for width in widths))

    def _place(self, blocks: Sequence[BlockState], start: int) -> tuple[Tensor, Tensor]:
        """Return keys and values of blocks in a row ``(layers, heads, tokens, size)``."""
        device, shifts, at = self._model.device, [], start
        for block in blocks:
            shifts.append(torch.full((block.tokens,), at))
            at += block.tokens
        keys = torch.cat([block.keys.to(device) for block in blocks], dim=2)
        values = torch.cat([block.values.to(device) for block in blocks], dim=2)
        with torch.inference_mode():
            self.rotation.move(keys, torch.cat(shifts).to(device))
        return keys, values

    def key_vectors(self, block: BlockState, layers: Sequence[int]) -> Tensor:
        """Return what a block is found by: its keys without positions, of unit length.

        Args:
            block: A block that was read.
            layers: 0-based layers.

        Returns:
            float32 ``(tokens - SINKS, layers * key heads, size)``; the first tokens are left out.
        """
        back = -torch.arange(block.tokens)
        parts = [self.rotation.move_layer(block.keys[i].float(), back, i) for i in layers]
        vectors = torch.cat(parts).transpose(0, 1)[SINKS:]
        return nn.functional.normalize(vectors, dim=-1)

    def query_vectors(self, ids: Sequence[int], layers: Sequence[int]) -> Tensor:
        """Return what a text looks for when it is read by itself.

        The query heads that share a key head are averaged.

        Args:
            ids: Token ids.
            layers: 0-based layers.

        Returns:
            float32 ``(tokens, layers * key heads, size)``, of unit length.
        """
        cache = new_cache(self._model)
        tokens = torch.tensor([list(ids)], device=self._model.device)
        with record_queries() as queries:
            for _ in prefill(self._model, tokens, cache, chunk=len(ids), around=nullcontext):
                pass
        back, parts = -torch.arange(len(ids)), []
        for i in layers:
            heads = _segment_layers(cache)[i].list_segments()[0][0].shape[1]
            query = self.rotation.move_layer(queries[i][0].float().cpu(), back, i)
            parts.append(query.unflatten(0, (heads, -1)).mean(1))
        return nn.functional.normalize(torch.cat(parts).transpose(0, 1), dim=-1)


def _segment_layers(cache: Cache) -> list[SegmentLayer]:
    return [layer for layer in cache.layers if isinstance(layer, SegmentLayer)]
