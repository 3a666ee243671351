"""Keys and values in eight bits."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import save_tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_model
from torch import Tensor

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.errors import ConfigError, IncompatibleSessionError
from pace_integrations.langchain import ChatPace
from pace_integrations.model._transformers import cache_argument
from pace_integrations.model.forward import predict_next, prefill
from pace_integrations.model.kv_cache import int8, int8_attention, segments
from pace_integrations.model.kv_cache.attention import segmented_attention
from pace_integrations.model.kv_cache.cache import fork_cache, new_cache
from pace_integrations.model.kv_cache.int8 import pack_int8, unpack_int8
from pace_integrations.model.kv_cache.int8_attention import attend_packed
from pace_integrations.model.kv_cache.segments import PackedLayer, segments_returned, to_dense

IDS = torch.randint(3, 128, (1, 70), generator=torch.Generator().manual_seed(0))
QUESTIONS = ["Where is the oak?", "When does the gate open?", "Who is there?"]
SHORT = GenerationConfig(max_new_tokens=8)
CORPUS = Corpus.from_texts({"a": "The oak stands by the gate. " * 9, "b": "It opens at ten."})


@given(st.integers(1, 100), st.sampled_from([1e-9, 1e-3, 1.0, 1e3, 1e7]), st.integers(0, 2**16))
def test_numbers_come_back_within_half_a_step(size: int, scale: float, seed: int) -> None:
    x = torch.randn(2, 5, size, generator=torch.Generator().manual_seed(seed)) * scale
    x[0, 0] = 0
    packed = pack_int8(x)
    back = unpack_int8(packed, size, torch.float32)
    groups = (packed.shape[-1] - size) // 2
    limit = x.clamp(-65504 * 127, 65504 * 127)  # what a float16 scale reaches
    step = limit.unflatten(-1, (groups, -1)).abs().amax(-1, keepdim=True) / 127
    error = (back - limit).unflatten(-1, (groups, -1)).abs()
    # Half a step, the rounding of the scale to float16, and float16's smallest number.
    assert (error <= step * (0.5 + 127 * 2**-11) + 127 * 2**-25).all()
    assert packed.dtype == torch.int8


def logits(family: str, chunk: int) -> Tensor:
    model = tiny_model(family)
    cache = new_cache(model, "int8")
    for _ in prefill(model, IDS[:, :60], cache, chunk=chunk, around=nullcontext):
        pass
    twin = fork_cache(cache)
    with torch.inference_mode(), segmented_attention(model):
        return model(IDS[:, 60:], **cache_argument(model, twin), use_cache=True).logits


def spread(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt_neox", "phi3"])
def test_eight_bits_change_little_and_chunks_less(family: str) -> None:
    """What rounding moves across the border between two integers is all that chunks change."""
    whole, model = logits(family, 60), tiny_model(family)
    with torch.inference_mode():
        full = model(IDS).logits[:, 60:]
    assert 0 < spread(whole - full) < 0.05 * spread(full)
    assert spread(logits(family, 7) - whole) < 0.2 * spread(whole - full)


@given(
    st.sampled_from([8, 64, 80, 96]),
    st.integers(1, 5),
    st.integers(1, 90),
    st.sampled_from([1e-3, 1.0, 30.0]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=40, deadline=None)
def test_attention_to_packed_tokens_is_attention_to_what_they_hold(
    size: int, rows: int, tokens: int, spread: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(size * tokens + rows)
    q = torch.randn(2, 3, rows, size, generator=generator).to(dtype)
    q[0, 0] = 0
    k = torch.randn(2, 3, tokens, size, generator=generator) * spread
    v = torch.randn(2, 3, tokens, 16, generator=generator)
    # As a cache holds them: behind its last token its buffer goes on.
    packed_k, packed_v = (pack_int8(torch.cat([t, t], dim=2))[:, :, :tokens] for t in (k, v))
    with torch.inference_mode():
        out, sums = attend_packed(q, packed_k, packed_v, size**-0.5, 16)
    keys = unpack_int8(packed_k, size, torch.float32).double()
    values = unpack_int8(packed_v, 16, torch.float32).double()
    scores = q.double() @ keys.transpose(2, 3) * size**-0.5
    # Fifteen bits of a query, and eight of a weight where the model computes in bfloat16.
    close = 1e-3 * max(1, spread)
    torch.testing.assert_close(sums.double(), scores.logsumexp(-1), rtol=1e-3, atol=close)
    coarse = 0.02 if dtype == torch.bfloat16 else 0.002
    want = scores.softmax(-1) @ values
    torch.testing.assert_close(out.double(), want, rtol=coarse, atol=coarse + close)


def test_a_token_is_written_without_unpacking_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next token is the same as where the past is unpacked."""
    model, ids = tiny_model("llama"), IDS.repeat(1, 20)
    monkeypatch.setattr(int8_attention, "has_native_bfloat16", lambda: True)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    results, unpacked = [], []
    for few in (1024, 10**9):
        monkeypatch.setattr(int8_attention, "FEWEST_KEYS", few)
        cache = new_cache(model, "int8")
        for _ in prefill(model, ids, cache, chunk=512, around=nullcontext):
            pass
        twin = fork_cache(cache)
        longest: list[int] = []
        with monkeypatch.context() as patch:
            for module in (segments, int8):
                patch.setattr(module, "unpack_int8", note_lengths(longest))
            results.append(predict_next(model, IDS[:, :1], twin, around=nullcontext))
        unpacked.append(max(longest))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-3)
    assert unpacked == [1, ids.shape[1]]


def note_lengths(lengths: list[int]) -> Callable[..., Tensor]:
    """Return `unpack_int8` that notes how many tokens it is given."""

    def unpack(packed: Tensor, *args: Any) -> Tensor:
        lengths.append(packed.shape[-2])
        return unpack_int8(packed, *args)

    return unpack


def test_plain_attention_sees_the_same_packed_tokens() -> None:
    model, cache = tiny_model("llama"), new_cache(tiny_model("llama"), "int8")
    for _ in prefill(model, IDS[:, :60], cache, chunk=16, around=nullcontext):
        pass
    with torch.inference_mode():
        plain = model(IDS[:, 60:], **cache_argument(model, cache), use_cache=True).logits
    torch.testing.assert_close(plain, logits("llama", 16), rtol=1e-3, atol=1e-3)


def test_what_is_unpacked_follows_every_change() -> None:
    """Tokens appended, cut off and selected in turn, short and long, give what is packed."""
    generator = torch.Generator().manual_seed(0)
    new = lambda rows, n: torch.randn(2, rows, 2, n, 16, generator=generator)  # noqa: E731
    layer = PackedLayer()
    layer.update(*new(1, 30))
    layer = layer.fork()
    moves = [("update", 5), ("update", 1), ("crop", -2), ("update", 1), ("select", 0)]
    moves += [("update", 1), ("update", 1020), ("update", 3), ("crop", -1010), ("update", 2)]
    moves += [("crop", -40), ("update", 4), ("fork", 0), ("update", 1)]
    rows = 3
    for move, count in moves:
        if move == "crop":
            layer.crop(count)
        elif move == "select":
            layer.select_rows(torch.tensor([2, 0]))
            rows = 2
        elif move == "fork":
            layer = layer.fork()
        else:
            with segments_returned():
                keys, values = layer.update(*new(rows, count))
            held = [
                torch.cat([part.expand(rows, -1, -1, -1) for part in parts], dim=2)
                for parts in zip(*layer.list_segments(), strict=True)
            ]
            for got, packed in zip((keys, values), held, strict=True):
                want = unpack_int8(packed, 16, torch.float32)
                torch.testing.assert_close(to_dense(got), want, rtol=0, atol=0)


@pytest.fixture(scope="module")
def packed(tiny_path: Path) -> Pace:
    return Pace.load(tiny_path, kv="int8", memory=MemoryConfig())


def test_a_session_holds_less_and_answers_in_every_way_alike(
    packed: Pace, tiny_path: Path, tmp_path: Path
) -> None:
    session = packed.read(CORPUS)
    alone = [session.ask(question, generation=SHORT).text for question in QUESTIONS]
    together = session.ask_many(QUESTIONS, generation=SHORT)
    assert [answer.text for answer in together] == alone
    session.save(tmp_path / "a.pace")
    opened = packed.open(tmp_path / "a.pace")
    assert [opened.ask(question, generation=SHORT).text for question in QUESTIONS] == alone
    full = Pace.load(tiny_path, memory=MemoryConfig())
    most = full.read(CORPUS).footprint()["cache_per_token"]
    heads = full._engine.loaded.model.config.num_key_value_heads
    size = full._engine.loaded.model.config.head_dim
    assert session.footprint()["cache_per_token"] * 4 * size == most * (size + 2 * -(-size // 32))
    assert most % (heads * size) == 0
    with pytest.raises(IncompatibleSessionError, match="kv"):
        full.open(tmp_path / "a.pace")


def test_a_face_opens_a_saved_session_as_it_was_read(packed: Pace, tmp_path: Path) -> None:
    packed.read(CORPUS).save(tmp_path / "a.pace")
    chat = ChatPace(session=tmp_path / "a.pace", model=packed.name)
    assert chat.loaded.fingerprint == packed.fingerprint


def test_what_does_not_go_together_is_refused(tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot slide"):
        Pace.load(tiny_path, kv="int8", overflow="window")
    with pytest.raises(ConfigError, match="cannot use packed"):
        Pace.load(save_tiny(tmp_path, "bloom"), kv="int8")
    with pytest.raises(ConfigError, match="'full' or 'int8'"):
        Pace.load(tiny_path, kv="fp4")  # type: ignore[arg-type]
