"""Page attention: a page's state depends on its tokens alone, and stitched it is one forward."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from tiny import tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from pace_integrations.errors import ConfigError
from pace_integrations.model.forward import predict_next
from pace_integrations.model.pages import SINKS, BlockState, PageAttention

FAMILIES = ["llama", "qwen3", "qwen2", "phi3", "smollm3", "glm"]
SCALED = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 256,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}


def tokens(count: int, seed: int) -> list[int]:
    return torch.randint(3, 128, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


HEAD, TAIL = tokens(11, 0), tokens(6, 99)
PAGES = [tokens(count, count) for count in (23, 64, 40, 31, 23, 70)]


def read(pages: PageAttention, blocks: list[list[int]]) -> list[BlockState]:
    states = dict(pages.read_blocks(blocks))
    return [states[i] for i in range(len(blocks))]


def equal(one: BlockState, other: BlockState) -> bool:
    return torch.equal(one.keys, other.keys) and torch.equal(one.values, other.values)


def masked_logits(model: PreTrainedModel, blocks: list[list[int]], tail: list[int]) -> Tensor:
    """One forward over everything, in which a block's tokens see their own block only."""
    ids = [token for block in blocks for token in block] + tail
    seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    start = 0
    for block in blocks:
        seen[start : start + len(block), :start] = False
        start += len(block)
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        return model(torch.tensor([ids]), attention_mask=mask[None, None]).logits[0, -1]


@pytest.mark.parametrize("family", FAMILIES)
def test_stitched_pages_are_one_forward_under_the_mask_of_blocks(family: str) -> None:
    model = tiny_model(family)
    pages = PageAttention(model)
    head, *states = read(pages, [HEAD, *PAGES])
    for order in ([0, 1, 2], [3, 1], [5, 4, 0, 2]):
        cache = pages.stitch([head, *(states[i] for i in order)])
        row = [token for i in order for token in PAGES[i]]
        assert cache.get_seq_length() == len(HEAD) + len(row)
        logits = predict_next(model, torch.tensor([TAIL]), cache, around=nullcontext)[0]
        whole = masked_logits(model, [HEAD, *(PAGES[i] for i in order)], TAIL)
        torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rope", [SCALED, LLAMA3, YARN], ids=lambda rope: rope["rope_type"])
def test_scaled_positions_are_linear_too(rope: dict[str, object]) -> None:
    model = tiny_model("llama", rope_parameters=rope)
    pages = PageAttention(model)
    cache = pages.stitch(read(pages, [HEAD, PAGES[1], PAGES[0]]))
    logits = predict_next(model, torch.tensor([TAIL]), cache, around=nullcontext)[0]
    whole = masked_logits(model, [HEAD, PAGES[1], PAGES[0]], TAIL)
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings", "why"),
    [
        ("llama", {"rope_parameters": DYNAMIC}, "dynamic"),
        ("opt", {}, "not rotary"),
        ("gemma3_text", {}, "whole text"),
    ],
)
def test_positions_that_do_not_add_up_are_refused(
    family: str, settings: dict[str, object], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        PageAttention(tiny_model(family, **settings))


def test_a_rotation_that_lies_about_its_kind_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    embedding = model.model.rotary_emb
    plain = embedding.forward
    monkeypatch.setattr(embedding, "forward", lambda x, position_ids: plain(x, position_ids**2))
    with pytest.raises(ConfigError, match="do not turn with the position"):
        PageAttention(model)


@pytest.mark.parametrize(("noise", "refused"), [(0.03, False), (0.5, True)])
def test_rounding_that_layers_add_up_is_not_taken_for_another_kind_of_position(
    monkeypatch: pytest.MonkeyPatch, noise: float, refused: bool
) -> None:
    """Keys and values drift alike by what a layer below rounds, until that is no rounding."""
    model = tiny_model("llama").to(torch.bfloat16)
    first, chance = model.model.layers[0], torch.Generator().manual_seed(0)
    plain = first.forward

    def round_more(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        made = plain(x, *args, **kwargs)
        return made * (1 + noise * torch.randn(made.shape, generator=chance)).to(made.dtype)

    monkeypatch.setattr(first, "forward", round_more)
    with pytest.raises(ConfigError, match="do not turn") if refused else nullcontext():
        PageAttention(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 4])
def test_a_state_has_the_same_bits_whatever_else_is_read(rows: int, dtype: torch.dtype) -> None:
    pages = PageAttention(tiny_model("llama").to(dtype), rows=rows, multiple=32)
    together = read(pages, PAGES)
    for i, alone in enumerate(PAGES):
        assert equal(read(pages, [alone])[0], together[i])
    shuffled = read(pages, PAGES[::-1])[::-1]
    assert all(equal(one, other) for one, other in zip(together, shuffled, strict=True))


def test_padded_batches_read_what_a_page_alone_reads() -> None:
    model = tiny_model("qwen3")
    single, batched = read(PageAttention(model), PAGES), read(PageAttention(model, rows=4), PAGES)
    for one, other in zip(single, batched, strict=True):
        torch.testing.assert_close(one.keys, other.keys, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.values, other.values, rtol=1e-4, atol=1e-4)


def test_rows_of_unequal_length_answer_as_alone() -> None:
    model = tiny_model("qwen3")
    pages = PageAttention(model)
    head, *states = read(pages, [HEAD, *PAGES])
    groups = [[0], [1], [2, 3], [4]]
    rows = pages.stitch_rows(head, [[states[i] for i in group] for group in groups])
    lengths = [len(HEAD) + sum(len(PAGES[i]) for i in group) for group in groups]
    assert list(rows.lengths) == lengths
    positions = torch.tensor(lengths)[:, None] + torch.arange(len(TAIL))
    ids = torch.tensor([TAIL] * len(groups))
    logits = predict_next(model, ids, rows.cache, around=nullcontext, positions=positions)
    for row, group in zip(logits, groups, strict=True):
        whole = masked_logits(model, [HEAD, *(PAGES[i] for i in group)], TAIL)
        torch.testing.assert_close(row, whole, rtol=1e-4, atol=1e-4)


def test_keys_and_queries_without_positions_do_not_know_where_they_stood() -> None:
    model = tiny_model("llama")
    pages = PageAttention(model)
    state = read(pages, [PAGES[1]])[0]
    attention = model.model.layers[0].self_attn
    ids = torch.tensor([PAGES[1]])
    with torch.inference_mode():
        hidden = model.model.layers[0].input_layernorm(model.model.embed_tokens(ids))
        keys = attention.k_proj(hidden)[0].unflatten(-1, (2, 8))
        queries = attention.q_proj(hidden)[0].unflatten(-1, (2, 2, 8)).mean(2)
    unit = torch.nn.functional.normalize
    found = pages.key_vectors(state, [0, 2])
    assert found.shape == (len(PAGES[1]) - SINKS, 4, 8)
    torch.testing.assert_close(found[:, :2], unit(keys, dim=-1)[SINKS:], rtol=1e-4, atol=1e-4)
    asked = pages.query_vectors(PAGES[1], [0, 2])
    torch.testing.assert_close(asked[:, :2], unit(queries, dim=-1), rtol=1e-4, atol=1e-4)
