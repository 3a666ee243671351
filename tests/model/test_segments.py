"""Attention over segments: the same numbers as plain attention, without its copies."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FAMILIES, tiny_model
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache, PreTrainedModel

from pace_integrations.model._transformers import cache_argument
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache import attention, blocked
from pace_integrations.model.kv_cache.attention import attend, segmented_attention
from pace_integrations.model.kv_cache.cache import fork_cache, new_cache
from pace_integrations.model.kv_cache.segments import (
    PackedLayer,
    SegmentLayer,
    segments_returned,
    to_dense,
)

IDS = torch.randint(3, 128, (1, 70), generator=torch.Generator().manual_seed(0))
SIZE = 8


def read(model: PreTrainedModel, cache: object, ids: Tensor, chunk: int) -> None:
    for _ in prefill(model, ids, cache, chunk=chunk, around=nullcontext):
        pass


def last_logits(model: PreTrainedModel, cache: object, ids: Tensor) -> Tensor:
    with torch.inference_mode(), segmented_attention(model):
        return model(ids, **cache_argument(model, cache), use_cache=True).logits[:, -1]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_forks_and_goes_on_as_in_one_forward(family: str) -> None:
    model = tiny_model(family)
    with torch.inference_mode():
        whole = model(IDS).logits[:, -1]
    base = new_cache(model)
    read(model, base, IDS[:, :50], 16)
    for _ in range(2):  # a fork leaves its base as it was
        twin = fork_cache(base)
        read(model, twin, IDS[:, 50:60], 7)
        again = fork_cache(twin)
        for i in range(60, 69):
            last_logits(model, again, IDS[:, i : i + 1])
        torch.testing.assert_close(
            last_logits(model, again, IDS[:, 69:]), whole, rtol=1e-4, atol=1e-4
        )
        assert (base.get_seq_length(), twin.get_seq_length()) == (50, 60)


def test_nothing_of_it_stays_on_the_model() -> None:
    model = tiny_model("qwen3")
    before = dict(vars(model.config))
    read(model, new_cache(model), IDS, 32)
    assert dict(vars(model.config)) == before
    with pytest.raises(ZeroDivisionError), segmented_attention(model):
        raise ZeroDivisionError
    assert dict(vars(model.config)) == before


def test_plain_attention_over_the_same_cache_sees_the_same_tokens() -> None:
    model = tiny_model("llama")
    cache, plain = new_cache(model), DynamicCache(config=model.config)
    read(model, cache, IDS[:, :60], 16)
    with torch.inference_mode():
        model(IDS[:, :60], **cache_argument(model, plain))
        got = model(IDS[:, 60:], **cache_argument(model, fork_cache(cache))).logits
        torch.testing.assert_close(got, model(IDS[:, 60:], **cache_argument(model, plain)).logits)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(1, 9),
    st.sampled_from([(1, 1), (2, 1), (4, 2)]),
    st.integers(1, 3),
    st.sampled_from(["kernel", "matrices"]),
)
@settings(max_examples=60, deadline=None)
def test_segments_equal_one_masked_attention(
    shared: list[int], fresh: int, heads: tuple[int, int], batch: int, way: str
) -> None:
    queries, keys = heads
    torch.manual_seed(0)
    layer = SegmentLayer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "SCORES", 64)  # many small blocks
        if way == "matrices":
            patch.setattr(attention, "_has_kernel", lambda *_: False)
        for tokens in shared:  # each a segment of its own, common to all rows
            layer.update(torch.randn(1, keys, tokens, SIZE), torch.randn(1, keys, tokens, SIZE))
            layer = layer.fork()
        layer.update(torch.randn(batch, keys, 3, SIZE), torch.randn(batch, keys, 3, SIZE))
        new = torch.randn(2, batch, keys, fresh, SIZE)
        with segments_returned():
            k, v = layer.update(new[0], new[1])
        query = torch.randn(batch, queries, fresh, SIZE)
        got, _ = attend(torch.nn.Module(), query, k, v, None)
    total = sum(shared) + 3 + fresh
    assert layer.get_seq_length() == total
    mask = torch.ones(fresh, total, dtype=torch.bool).tril(total - fresh)
    want = scaled_dot_product_attention(query, to_dense(k), to_dense(v), mask, enable_gqa=True)
    torch.testing.assert_close(got.transpose(1, 2), want, rtol=1e-5, atol=1e-5)


def test_rows_with_padding_equal_the_rows_alone() -> None:
    torch.manual_seed(0)
    base = SegmentLayer()
    base.update(torch.randn(1, 2, 20, SIZE), torch.randn(1, 2, 20, SIZE))
    rows = [torch.randn(3, 1, 2, tokens, SIZE) for tokens in (4, 7)]
    layer = base.fork()
    layer.padding = torch.tensor([3, 0])
    padded = torch.stack(
        [torch.cat([torch.randn(3, 2, 7 - r.shape[3], SIZE), r[:, 0]], 2) for r in rows], 1
    )
    with segments_returned():
        k, v = layer.update(padded[0], padded[1])
        single = [base.fork().update(row[0], row[1]) for row in rows]
    got, _ = attend(torch.nn.Module(), padded[2], k, v, None)
    for i, row in enumerate(rows):
        alone, _ = attend(torch.nn.Module(), row[2], *single[i], None)
        torch.testing.assert_close(got[i : i + 1, -row.shape[3] :], alone, rtol=1e-5, atol=1e-5)
    assert got.isfinite().all()


@given(st.lists(st.tuples(st.sampled_from("ufc"), st.integers(1, 300)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_layers_behave_as_lists_of_tokens(moves: list[tuple[str, int]]) -> None:
    """Updates, forks and crops in any order; no fork ever sees another's tokens."""
    known: list[tuple[SegmentLayer, list[float]]] = [(SegmentLayer(), [])]
    token = 0.0
    for move, count in moves:
        layer, held = known[count % len(known)]
        if move == "u":
            new = torch.arange(token, token + count).view(1, 1, -1, 1)
            layer.update(new, -new)
            held += new.flatten().tolist()
            token += count
        elif move == "f":
            known.append((layer.fork(), list(held)))
        elif len(held) > count:
            layer.crop(-count)
            del held[-count:]
    for layer, held in known:
        assert layer.get_seq_length() == len(held)
        assert [x for k, _ in layer.list_segments() for x in k.flatten().tolist()] == held
        assert [-x for _, v in layer.list_segments() for x in v.flatten().tolist()] == held


@given(
    heads=st.integers(1, 3),
    queries=st.integers(1, 90),
    tokens=st.integers(1, 150),
    seed=st.integers(0, 9),
    block=st.sampled_from([2**8, 2**12]),
    shift=st.sampled_from([0.0, -40.0, 40.0]),
    causal=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_attention_in_blocks_is_attention(
    heads: int, queries: int, tokens: int, seed: int, block: int, shift: float, causal: bool
) -> None:
    """Where all scores of a row lie far from zero, too; and where one of them does."""
    generator = torch.Generator().manual_seed(seed)
    group, fresh = 3, queries if causal else 0
    total = tokens + fresh
    q = torch.randn(1, heads, queries * group, SIZE, generator=generator).bfloat16()
    k, v = torch.randn(2, 1, heads, total, SIZE, generator=generator).bfloat16()
    q[..., 0], k[..., 0] = 1, shift
    k[:, :, tokens // 2, 0] += 30
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocked, "BLOCK_SCORES", block)
        patch.setattr(blocked, "STRETCH", 32)
        out, sums = blocked.attend_in_blocks(q, k, v, 0.5, fresh=fresh)
    scores = q.double() @ k.double().transpose(2, 3) * 0.5
    seen = torch.ones(queries, total, dtype=torch.bool).tril(total - queries if causal else total)
    scores = scores.masked_fill(~seen.repeat_interleave(group, dim=0), float("-inf"))
    # Not of the size of the scores: what is rounded lies near zero.
    torch.testing.assert_close(sums.double(), scores.logsumexp(-1), rtol=0, atol=0.04)
    torch.testing.assert_close(out.double(), scores.softmax(-1) @ v.double(), rtol=0.02, atol=0.04)


@pytest.mark.parametrize("past", [0, 1, 300])
@pytest.mark.parametrize("packs", [False, True])
def test_reading_in_blocks_equals_one_masked_attention(
    monkeypatch: pytest.MonkeyPatch, past: int, packs: bool
) -> None:
    torch.manual_seed(0)
    layer = PackedLayer() if packs else SegmentLayer()
    with segments_returned():
        if past:
            layer.update(*torch.randn(2, 1, 2, past, SIZE).bfloat16())
        k, v = layer.update(*torch.randn(2, 1, 2, 400, SIZE).bfloat16())
    query = torch.randn(1, 6, 400, SIZE).bfloat16()
    mask = torch.ones(400, past + 400, dtype=torch.bool).tril(past)
    dense = (to_dense(k).double(), to_dense(v).double())
    want = scaled_dot_product_attention(query.double(), *dense, mask, enable_gqa=True)
    errors = []
    for native in (True, False):
        monkeypatch.setattr(blocked, "has_native_bfloat16", lambda native=native: native)
        got, _ = attend(torch.nn.Module(), query, k, v, None)
        assert got.dtype == torch.bfloat16
        errors.append(float((got.transpose(1, 2) - want).norm() / want.norm()))
    in_blocks, kernel = errors
    assert in_blocks < 0.006
    assert in_blocks < 2.2 * kernel


def test_blocks_serve_reading_in_bfloat16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "has_native_bfloat16", lambda: True)
    chunk, token = torch.zeros(1, 3, 512, SIZE), torch.zeros(1, 3, 1, SIZE)
    long, short = torch.zeros(1, 1, 4096, SIZE), torch.zeros(1, 1, 64, SIZE)
    assert blocked.pays_in_blocks(chunk.bfloat16(), long.bfloat16())
    assert not blocked.pays_in_blocks(chunk, long)
    assert not blocked.pays_in_blocks(chunk.bfloat16(), short.bfloat16())
    assert not blocked.pays_in_blocks(token.bfloat16(), long.bfloat16())
