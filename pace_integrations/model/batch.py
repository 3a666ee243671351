"""Several answers at once over one shared prefix.

The prefix stays one segment for all rows, so each step reads it once for all of them; only the
rows' own suffixes differ. Suffixes are padded on the left, and padding is never attended to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pace_integrations.config import GenerationConfig
from pace_integrations.model._transformers import (
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    takes_argument,
)
from pace_integrations.model.decode import AnswerWriter, TextDelta
from pace_integrations.model.forward import ForwardContext, predict_next
from pace_integrations.model.kv_cache.segments import SegmentLayer


def always(_: int) -> bool:
    """Return True: every answer is wanted to its end."""
    return True


def end_unwanted(piece: TextDelta | None = None) -> TextDelta:
    """Return the last piece of an answer that nobody waits for any more."""
    return TextDelta("", piece.tokens if piece else 0, "length")


def can_batch(model: PreTrainedModel, cache: Cache) -> bool:
    """Return True if rows can share a cache: every layer in segments, and positions told."""
    return takes_argument(model, "position_ids") and all(
        isinstance(layer, SegmentLayer) for layer in cache.layers
    )


def decode_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tails: Sequence[Sequence[int]],
    cache: Cache,
    config: GenerationConfig,
    *,
    around: ForwardContext,
    is_wanted: Callable[[int], bool] = always,
) -> Iterator[list[tuple[int, TextDelta]]]:
    """Continue `cache` with each of several suffixes and write their answers together.

    Args:
        model: A causal language model for which `can_batch` holds.
        tokenizer: Its tokenizer.
        tails: The prompts' suffixes, at least one token each.
        cache: Cache to continue, of one row; it is extended by all of them.
        config: Length, sampling and stop strings of each answer.
        around: Makes the context that each forward runs in.
        is_wanted: Asked before each token whether an answer is still waited for; one that is not
            ends there.

    Yields:
        For every step the pieces of the answers still being written, with their index.
    """
    start = cache.get_seq_length()
    ids, padding = _pad_left(tails, model.device)
    _set_padding(cache, padding)
    positions = (torch.arange(ids.shape[1], device=ids.device) - padding[:, None]).clamp(0) + start
    writers = {i: AnswerWriter(model, tokenizer, config) for i in range(len(tails))}
    while writers:
        logits = predict_next(model, ids, cache, around=around, positions=positions)
        taken = {
            i: writers[i].choose_token(row) if is_wanted(i) else (row, end_unwanted())
            for i, row in zip(writers, logits.split(1), strict=True)
        }
        yield [(i, piece) for i, (_, piece) in taken.items()]
        going = [n for n, (_, piece) in enumerate(taken.values()) if piece.finish is None]
        if len(going) < len(taken):
            select_rows(cache, torch.tensor(going, dtype=torch.long, device=ids.device))
            writers = {i: writers[i] for i, (_, piece) in taken.items() if piece.finish is None}
        ids = torch.stack([taken[i][0].view(1) for i in writers]) if writers else ids
        positions = positions[going, -1:] + 1


def _pad_left(tails: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return suffixes padded on the left ``(rows, tokens)`` and the padding of each ``(rows,)``."""
    longest = max(map(len, tails))
    rows = [[tail[0]] * (longest - len(tail)) + list(tail) for tail in tails]
    padding = [longest - len(tail) for tail in tails]
    return torch.tensor(rows, device=device), torch.tensor(padding, device=device)


def _set_padding(cache: Cache, padding: Tensor) -> None:
    for layer in cache.layers:
        if isinstance(layer, SegmentLayer):
            layer.padding = padding.to(getattr(layer, "device", padding.device))


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Keep some rows of a cache; what is shared serves any number of them."""
    for layer in cache.layers:
        if isinstance(layer, SegmentLayer):
            layer.select_rows(rows)


def copy_rows(cache: Cache, rows: Tensor) -> Cache:
    """Return a cache of some rows, and leave the other as it is; all its layers hold segments."""
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    select_rows(twin, rows)
    return twin
