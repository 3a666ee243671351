"""Attention by compiled loops, and where it is used."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from tiny import tiny_model
from torch import Tensor

from pace_integrations.model.forward import predict_next, prefill
from pace_integrations.model.kv_cache import attention, compiled, segments
from pace_integrations.model.kv_cache.cache import fork_cache, new_cache
from pace_integrations.model.kv_cache.compiled import attend_compiled, takes_compiled
from pace_integrations.model.kv_cache.int8 import pack_int8, unpack_int8

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed"
)
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(batch: int, rows: int, tokens: int, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values; behind their last token the buffers go on."""
    generator = torch.Generator().manual_seed(rows * tokens)
    q = torch.randn(batch, 2, rows, SIZE, generator=generator)
    k, v = (torch.randn(batch, 2, tokens + 5, SIZE, generator=generator) for _ in range(2))
    return q.bfloat16(), (k * spread).bfloat16()[:, :, :tokens], v.bfloat16()[:, :, :tokens]


def attend_exactly(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    scores = q.double() @ k.double().mT * scale
    return scores.softmax(-1) @ v.double(), scores.logsumexp(-1)


@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (1, 3), (2, 4)])
@pytest.mark.parametrize("tokens", [1, 15, 16, 70, 643])
@pytest.mark.parametrize("packed", [False, True])
def test_it_is_attention_in_float32(batch: int, rows: int, tokens: int, packed: bool) -> None:
    q, k, v = draw(batch, rows, tokens, spread=3.0)
    held = (k, v)
    if packed:
        held = (pack_int8(k), pack_int8(v))
        k, v = (unpack_int8(t, SIZE, torch.float32) for t in held)
    with torch.inference_mode():
        out, sums = attend_compiled(q, *held, 0.2)
    want, want_sums = attend_exactly(q, k, v, 0.2)
    torch.testing.assert_close(out.double(), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sums.double(), want_sums, rtol=1e-5, atol=1e-5)


def test_scales_of_every_magnitude_are_read() -> None:
    """float16 below its smallest normal number included, and zero."""
    q, k, v = draw(1, 2, 64)
    k, v = k.float(), v.float() * torch.logspace(-9, 6, 64)[:, None]
    v[:, :, 5] = 0
    held = pack_int8(k), pack_int8(v)
    with torch.inference_mode():
        out, _ = attend_compiled(q, *held, 0.2)
    want, _ = attend_exactly(q, *(unpack_int8(t, SIZE, torch.float32) for t in held), 0.2)
    torch.testing.assert_close(out.double(), want, rtol=1e-4, atol=1e-4)


def test_numbers_that_are_none_stay_none() -> None:
    q, k, v = draw(1, 1, 40)
    k[0, 1, 7, 3] = float("nan")
    with torch.inference_mode():
        out, _ = attend_compiled(q, k, v, 0.2)
    assert out[0, 0].isfinite().all()
    assert out[0, 1].isnan().all()


def test_it_is_taken_for_few_queries_over_a_long_past() -> None:
    q, k, v = draw(1, 3, compiled.FEWEST_KEYS)
    packed = pack_int8(k)
    with torch.inference_mode():
        assert takes_compiled(q, k, v)
        assert takes_compiled(q, packed, packed)
        assert not takes_compiled(q, k[:, :, 1:], v[:, :, 1:])  # short
        assert not takes_compiled(q, k.float(), v.float())
        assert not takes_compiled(q, k, v[..., :16])
        assert not takes_compiled(q.expand(1, 2, 3, SIZE).repeat(1, 1, 9, 1), k, v)  # many
        assert not takes_compiled(q, k.mT.contiguous().mT, v)  # lie otherwise in memory
        torch.set_num_threads(compiled.MOST_THREADS + 1)
        assert not takes_compiled(q, k, v)
        torch.set_num_threads(1)
    assert not takes_compiled(q, k, v)  # gradients may be wanted


def test_without_numba_it_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_has_numba", lambda: False)
    q, k, v = draw(1, 3, compiled.FEWEST_KEYS)
    with torch.inference_mode():
        assert not takes_compiled(q, k, v)


@pytest.mark.parametrize("kv", ["full", "int8"])
@pytest.mark.parametrize("rows", [1, 2])
def test_tokens_are_written_with_it(monkeypatch: pytest.MonkeyPatch, kv: str, rows: int) -> None:
    """Over a past that several rows share; in eight bits, too long to be held unpacked."""
    model = tiny_model("llama", head_dim=SIZE).bfloat16()
    monkeypatch.setattr(segments, "MOST_OPENED", 64)
    ids = torch.randint(3, 128, (1, 700), generator=torch.Generator().manual_seed(0))
    results: list[Tensor] = []
    calls: list[torch.Size] = []

    def count(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        calls.append(k.shape)
        return attend_compiled(q, k, v, scale)

    def count_all(q: Tensor, pairs: list[compiled.Pair], scale: float) -> Tensor:
        assert rows == 1
        calls.append(pairs[-1][0].shape)  # the past stands last
        return compiled.attend_all_compiled(q, pairs, scale)

    monkeypatch.setattr(attention, "attend_compiled", count)
    monkeypatch.setattr(attention, "attend_all_compiled", count_all)
    for most in (0, compiled.MOST_ROWS):
        monkeypatch.setattr(compiled, "MOST_ROWS", most)
        cache = new_cache(model, kv)
        for _ in prefill(model, ids, cache, chunk=512, around=nullcontext):
            pass
        calls.clear()
        twin, fed = fork_cache(cache), torch.tensor([[5], [9]])[:rows]
        results.append(predict_next(model, fed, twin, around=nullcontext))
    assert [shape[2] for shape in calls] == [700] * model.config.num_hidden_layers
    torch.testing.assert_close(results[0], results[1], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("packed", [(False, False), (True, False), (True, True)])
def test_one_token_attends_to_all_segments_at_once(packed: tuple[bool, bool]) -> None:
    """As to their keys in one, whatever their types and lengths."""
    q = draw(1, 3, 40)[0].reshape(1, 6, 1, SIZE)  # three query heads of each key head
    parts = [draw(1, 1, tokens, spread=2.0)[1:] for tokens in (643, 21)]
    held, plain = [], []
    for (k, v), pack in zip(parts, packed, strict=True):
        own = (pack_int8(k), pack_int8(v)) if pack else (k, v)
        held.append(own)
        plain.append([unpack_int8(t, SIZE, torch.float32) if pack else t.float() for t in own])
    with torch.inference_mode():
        assert compiled.take_all_compiled(q, held)
        assert not compiled.take_all_compiled(q, held[1:])  # all of them are short
        assert not compiled.take_all_compiled(q.expand(2, -1, -1, -1), held)
        out = compiled.attend_all_compiled(q, held, 0.2)
    k, v = (torch.cat([pair[i] for pair in plain], dim=2) for i in (0, 1))
    want, _ = attend_exactly(q.view(1, 2, 3, SIZE), k, v, 0.2)
    torch.testing.assert_close(out.double(), want.view(1, 6, 1, SIZE), rtol=1e-4, atol=1e-5)
