"""Attention over segments: each on its own, merged by the logarithms of their sums.

For disjoint sets of keys with partial results o_i and log-sum-exps s_i, attention over their union
is sum_i exp(s_i - s) o_i with s = log sum_i exp(s_i). So the past is never copied beside the
present, no mask is ever written out, and queries of several rows over one shared segment become
one matrix product.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from pace_integrations.model._transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    attention_set,
    register_attention,
    replaceable_attention,
    sdpa_attention,
    sliding_window_mask,
)
from pace_integrations.model.kv_cache.blocked import attend_in_blocks, pays_in_blocks
from pace_integrations.model.kv_cache.compiled import (
    attend_all_compiled,
    attend_compiled,
    take_all_compiled,
    takes_compiled,
)
from pace_integrations.model.kv_cache.hippocampus import FreshKeys
from pace_integrations.model.kv_cache.int8_attention import attend_packed, takes_packed
from pace_integrations.model.kv_cache.segments import Segments, segments_returned, to_dense

NAME = "pace_segments"
SCORES = 2**26  # most scores at a time where no kernel gives the log-sum-exp
OPENED = 2**14  # most tokens of the past unpacked at a time

Partial = tuple[Tensor, Tensor]  # output (batch, heads, queries, size), log-sum-exp (.., queries)
_configs: WeakKeyDictionary[nn.Module, list[PreTrainedConfig]] = WeakKeyDictionary()
_recorder = threading.local()


def can_segment(model: PreTrainedModel) -> bool:
    """Return True if the model's attention can be run over segments."""
    return bool(_text_configs(model))


@contextmanager
def segmented_attention(model: PreTrainedModel) -> Iterator[None]:
    """Run forwards inside with attention over segments; afterwards the model is as it was."""
    with attention_set(_text_configs(model), NAME), segments_returned():
        yield


@contextmanager
def record_queries() -> Iterator[list[Tensor]]:
    """Give the queries ``(batch, heads, tokens, size)`` of segmented forwards inside, by layer."""
    queries: list[Tensor] = []
    _recorder.queries = queries
    try:
        yield queries
    finally:
        _recorder.queries = None


def _text_configs(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """Return the configurations by which the decoder's layers look up their attention, if any."""
    if model not in _configs:
        _configs[model] = replaceable_attention(model)
    return _configs[model]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Segments | FreshKeys | Tensor,
    value: Segments | Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Attend to segments, in the form that Transformers' layers call.

    Args:
        module: The layer.
        query: ``(batch, heads, queries, size)``.
        key: Segments, keys of a layer that attends by itself, or plain keys
            ``(batch, key heads, tokens, size)``.
        value: Likewise.
        attention_mask: For layers that need one (sliding windows); None is causal.
        scaling: Factor of the scores; None is the usual ``size ** -0.5``.
        kwargs: Passed on where plain attention is needed.

    Returns:
        The output ``(batch, queries, heads, size)``, and None for the weights.
    """
    if (queries := getattr(_recorder, "queries", None)) is not None:
        queries.append(query)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(key, FreshKeys):
        return key.attend(query, to_dense(value), scale).transpose(1, 2).contiguous(), None
    if attention_mask is not None or not isinstance(key, Segments):
        k, v = to_dense(key), to_dense(value)
        return sdpa_attention(module, query, k, v, attention_mask, scaling=scaling, **kwargs)
    assert isinstance(value, Segments)
    if key.fresh == 1 and key.padding is None:
        pairs = [(key.own, value.own), *zip(key.shared, value.shared, strict=True)]
        if take_all_compiled(query, pairs):
            whole = attend_all_compiled(query, pairs, scale)
            return whole.to(query.dtype).transpose(1, 2).contiguous(), None
    parts: list[Partial] = []
    for k, v in zip(key.shared, value.shared, strict=True):
        parts += _attend_past(query, key, value, (k, v), scale)
    parts += _attend_own(query, key, value, scale)
    return _merge_partials(parts).to(query.dtype).transpose(1, 2).contiguous(), None


def _attend_past(
    query: Tensor, key: Segments, value: Segments, pair: tuple[Tensor, Tensor], scale: float
) -> Iterator[Partial]:
    """Yield partial results over keys and values that every query sees."""
    if takes_compiled(query, *pair):
        yield _attend_segment(query, *pair, scale, attend_compiled)
        return
    if value.packed is not None and takes_packed(query, pair[0]):
        yield _attend_segment(query, *pair, scale, partial(attend_packed, size=value.packed[0]))
        return
    most = OPENED if pair[0].dtype == torch.int8 else pair[0].shape[2]
    for k, v in zip(*(tensor.split(most, dim=2) for tensor in pair), strict=True):
        yield _attend_segment(query, *_unpack_pair(key, value, k, v), scale)


def _unpack_pair(key: Segments, value: Segments, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values to compute with."""
    return key.unpack(k, "keys"), value.unpack(v, "values")


def _attend_own(query: Tensor, key: Segments, value: Segments, scale: float) -> list[Partial]:
    """Return partial results over a layer's own tokens, the last of which are the queries' own."""
    k, v, fresh = key.own, value.own, key.fresh
    if key.padding is not None:
        return [_attend_padded(query, *_unpack_pair(key, value, k, v), scale, key.padding)]
    # One query sees all of its own tokens, itself included: no causal mask, one product.
    past = k.shape[2] - (fresh if fresh > 1 else 0)
    if fresh > 1 and (k.dtype != torch.int8 or k.shape[2] <= OPENED) and pays_in_blocks(query, k):
        past = 0  # one pass over everything: nothing to merge
    parts: list[Partial] = []
    if past:
        parts += _attend_past(query, key, value, (k[:, :, :past], v[:, :, :past]), scale)
    if fresh > 1:
        k, v = _unpack_pair(key, value, k[:, :, past:], v[:, :, past:])
        parts.append(_attend_causal(query, k, v, scale))
    return parts


def _attend_causal(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Partial:
    """Attend to keys of which the last are the queries' own, in causal order."""
    groups = query.shape[1] // key.shape[1]
    if pays_in_blocks(query, key):
        # (batch, key heads, queries, group, size): the queries of one token side by side.
        folded = query.unflatten(1, (-1, groups)).transpose(2, 3).flatten(2, 3)
        done = attend_in_blocks(folded, key, value, scale, fresh=query.shape[2])
        out, sums = (t.unflatten(2, (-1, groups)).transpose(2, 3).flatten(1, 2) for t in done)
        return out, sums
    # The causal kernel wants a key head for each query head; a chunk is small enough to copy.
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    return _attend_partly(query, key, value, scale, causal=True)


def _attend_segment(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    compute: Callable[[Tensor, Tensor, Tensor, float], Partial] | None = None,
) -> Partial:
    """Attend with all queries to all keys of a segment, which several rows may share.

    Query heads of one key head, and rows that share the segment, are queries like any other.
    `compute` is how, where there is a special way.
    """
    # `kept` is 1 for a segment that all rows share, otherwise the batch.
    batch, heads, queries, size = query.shape
    kept, key_heads = key.shape[:2]
    # (kept, rows, key heads, group, queries, size) -> (kept, key heads, rows group queries, size):
    # nothing is masked in the past, so all of them go through one product with each key head.
    split = query.view(kept, batch // kept, key_heads, heads // key_heads, queries, size)
    folded = split.transpose(1, 2).reshape(kept, key_heads, -1, size)
    if compute is None:
        compute = partial(_attend_partly, causal=False)
    out, sums = compute(folded, key, value, scale)
    shape = (kept, key_heads, batch // kept, heads // key_heads, queries)
    out = out.reshape(*shape, -1).transpose(1, 2).reshape(batch, heads, queries, -1)
    return out, sums.reshape(shape).transpose(1, 2).reshape(batch, heads, queries)


def _attend_padded(
    query: Tensor, key: Tensor, value: Tensor, scale: float, padding: Tensor
) -> Partial:
    """Attend with queries to their own rows' tokens, of which some at the start are padding."""
    queries, tokens = query.shape[2], key.shape[2]
    groups = query.shape[1] // key.shape[1]
    places = torch.arange(tokens, device=key.device)
    causal = places <= places[tokens - queries :, None]
    seen = (causal & (places >= padding[:, None, None]))[:, None]
    # A query that is padding sees nothing; it must not become NaN and reach its neighbors.
    seen = seen | (places == places[tokens - queries :, None])
    # Query heads of one key head are queries like any other: its keys are not copied for each.
    folded = query.unflatten(1, (-1, groups)).flatten(2, 3)
    scores = ((folded @ key.transpose(2, 3)).float() * scale).unflatten(2, (groups, queries))
    hidden = scores.masked_fill_(~seen[:, :, None], float("-inf")).flatten(2, 3)
    out, sums = _weigh_values(hidden, value)
    return out.unflatten(2, (groups, queries)).flatten(1, 2), sums.reshape(query.shape[:3])


def _attend_partly(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, causal: bool
) -> Partial:
    """Return attention and log-sum-exp; keys have as many heads as queries."""
    if not causal and pays_in_blocks(query, key):
        return attend_in_blocks(query, key, value, scale)
    if _has_kernel(query, value):
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(  # type: ignore[no-any-return]
            query, key, value, 0.0, causal, scale=scale
        )
    # Elsewhere the scores are written out, in blocks of queries that bound their number, and in
    # float32 from the product on: rounded to bfloat16 they would be off by a hundredth and more.
    key = key.float()
    rows = max(1, SCORES // (key.shape[0] * key.shape[1] * key.shape[2]))
    done = []
    for start in range(0, query.shape[2], rows):
        scores = query[:, :, start : start + rows].float() @ key.transpose(2, 3) * scale
        if causal:
            above = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device)
            scores = scores.masked_fill(above.triu(start + 1), float("-inf"))
        done.append(_weigh_values(scores, value))
    outs, sums = zip(*done, strict=True)
    return torch.cat(outs, dim=2), torch.cat(sums, dim=2)


def _has_kernel(query: Tensor, value: Tensor) -> bool:
    """Return True if PyTorch has attention that also gives the log-sum-exp."""
    return query.device.type == "cpu" and query.shape[-1] == value.shape[-1]


def _weigh_values(scores: Tensor, value: Tensor) -> Partial:
    # Normalized in float32, so that only the product with the values runs in the model's type.
    sums = scores.logsumexp(-1)
    return (scores - sums[..., None]).exp().to(value.dtype) @ value, sums


def _merge_partials(parts: list[Partial]) -> Tensor:
    """Merge attention over parts into attention over the union of their keys."""
    if len(parts) == 1:
        return parts[0][0]
    # exp(s_i - s) with s = log sum_i exp(s_i) is a softmax over the parts.
    weights = torch.stack([sums for _, sums in parts]).softmax(0)[..., None]
    outs = torch.stack([out for out, _ in parts]).float()
    return (weights * outs).sum(0)


def _make_mask(local_size: int | None = None, **kwargs: object) -> Tensor | None:
    """Return no mask for full attention, which is causal by construction; windows need theirs."""
    return None if local_size is None else sliding_window_mask(local_size=local_size, **kwargs)


register_attention(NAME, attend, _make_mask)
