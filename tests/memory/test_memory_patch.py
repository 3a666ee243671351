"""The patch on whole models: what it changes, what it must not, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from bank_streams import RULES
from patches import close, read, tokens, traces
from tiny import tiny_model
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError, ModelPatchError
from pace_integrations.memory import MemoryPatch, default_layers, patch_model

CONFIG = MemoryConfig(slots=8, top_k=3, step=16, layers=(1, 2))
FAMILIES = ["llama", "qwen2", "qwen3"]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny_model(request.param)


@pytest.fixture
def attach() -> Iterator[Callable[..., MemoryPatch]]:
    """Patches that come off at the end of the test, whatever becomes of it."""
    with ExitStack() as stack:

        def make(*args: object, **kwargs: object) -> MemoryPatch:
            patch = MemoryPatch(*args, **kwargs)
            stack.callback(patch.remove)
            return patch

        yield make


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny_model("llama")


@torch.no_grad()
def test_without_blend_logits_are_bit_identical(
    model: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    ids = tokens(80)
    plain = model(ids).logits
    silent = MemoryConfig(slots=8, step=16, blend=0.0)
    with patch_model(model, silent):
        assert torch.equal(model(ids).logits, plain)
    patch = attach(model, silent)
    state = patch.new_state()
    with patch.reading(state):
        assert torch.equal(model(ids).logits, plain)
    assert state.bank(1).state()["filled"].item() == 8


@torch.no_grad()
def test_the_memory_takes_effect_only_while_a_state_is_active(
    model: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    ids = tokens(80)
    plain = model(ids).logits
    patch = attach(model, CONFIG)
    assert torch.equal(model(ids).logits, plain)
    with patch.reading(patch.new_state()):
        remembered = model(ids).logits
    assert torch.equal(remembered[:, :16], plain[:, :16])
    assert (remembered - plain).abs().max() > 1e-2
    assert torch.equal(model(ids).logits, plain)


@torch.no_grad()
def test_nothing_is_left_behind(model: PreTrainedModel) -> None:
    before, ids = traces(model), tokens(40)
    with patch_model(model, CONFIG) as memory:
        model(ids)
        assert memory.layers == (1, 2)
        assert traces(model)["hooks"] != before["hooks"]
        assert list(model.state_dict()) == list(before["state"])
    assert traces(model) == before
    with pytest.raises(IndexError), patch_model(model, CONFIG):
        model(ids + 1000)
    assert traces(model) == before
    patch = MemoryPatch(model, CONFIG)
    patch.remove()
    patch.remove()
    assert traces(model) == before


@pytest.mark.parametrize("sizes", [[100], [16] * 6 + [4], [7] * 14 + [2], [1] * 100, [50, 50]])
@pytest.mark.parametrize("rule", RULES)
def test_chunk_sizes_change_neither_logits_nor_banks(
    model: PreTrainedModel, sizes: list[int], rule: str, attach: Callable[..., MemoryPatch]
) -> None:
    patch, ids = attach(model, replace(CONFIG, rule=rule)), tokens(100)
    whole, parts = patch.new_state(), patch.new_state()
    expected = read(model, patch, whole, ids, [100], cuts=[0, 30, 71])
    logits = read(model, patch, parts, ids, sizes, cuts=[0, 30, 71])
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    assert parts.position == whole.position == 100
    assert parts.counts == whole.counts
    assert parts.is_open
    whole.flush()
    parts.flush()
    close(parts, whole)


def test_documents_together_equal_one_by_one(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch, ids = attach(llama, CONFIG), tokens(90)
    together, single = patch.new_state(), patch.new_state()
    expected = read(llama, patch, together, ids, [90], cuts=[0, 25, 57])
    together.flush()
    cache, logits, done = DynamicCache(config=llama.config), [], 0
    for document in ids.split([25, 32, 33], dim=1):
        size = document.shape[1]
        # Each call knows its own document only.
        logits.append(read(llama, patch, single, document, [size], [done], cache))
        single.flush()
        done += size
    torch.testing.assert_close(torch.cat(logits, 1), expected, rtol=1e-3, atol=1e-3)
    close(single, together)


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_rows_and_padding_equal_the_single_sequence(model: PreTrainedModel, side: str) -> None:
    lengths = [60, 43, 52]
    ids = torch.zeros(3, 60, dtype=torch.int64)
    mask = torch.zeros(3, 60, dtype=torch.int64)
    places = [slice(60 - n, 60) if side == "left" else slice(n) for n in lengths]
    for row, (length, place) in enumerate(zip(lengths, places, strict=True)):
        ids[row, place], mask[row, place] = tokens(length, seed=row), 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with patch_model(model, CONFIG) as memory:
        logits = model(ids, attention_mask=mask, position_ids=positions).logits
        memory.flush()
        batch = memory.state()
    assert batch.positions == (60, 43, 52)
    for row, (length, place) in enumerate(zip(lengths, places, strict=True)):
        with patch_model(model, CONFIG) as memory:
            alone = model(tokens(length, seed=row)).logits
            memory.flush()
            for layer in CONFIG.layers:
                own, single = batch.bank(layer, row), memory.state().bank(layer)
                for name, tensor in single.state().items():
                    torch.testing.assert_close(own.state()[name], tensor, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(logits[row : row + 1, place], alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_asking_leaves_the_banks_bit_identical(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch = attach(llama, CONFIG)
    state = patch.new_state()
    read(llama, patch, state, tokens(60), [60])
    state.flush()
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    plain = llama(tokens(40, 5)).logits
    answers = []
    for _ in range(2):
        with patch.asking(state):
            answers.append(llama(tokens(40, 5)).logits)
    assert torch.equal(*answers)
    assert not torch.equal(answers[0], plain)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.tensors().items())


@torch.no_grad()
def test_writing_while_decoding_enters_the_clone_only(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    config = MemoryConfig(slots=8, step=16, layers=(1,), write_while_decoding=True)
    patch = attach(llama, config)
    state = patch.new_state()
    with patch.asking(state):
        llama(tokens(20))
    twin = state.clone()
    with patch.asking(twin):
        llama(tokens(20, 1))
    assert (state.position, twin.position) == (20, 40)
    state.flush()
    twin.flush()
    assert not torch.equal(state.tensors()["1.keys"], twin.tensors()["1.keys"])


def test_two_states_never_mix(llama: PreTrainedModel, attach: Callable[..., MemoryPatch]) -> None:
    patch = attach(llama, CONFIG)
    streams = [tokens(64, seed) for seed in (1, 2)]
    alone, mixed = [], [patch.new_state() for _ in streams]
    for ids in streams:
        alone.append(patch.new_state())
        read(llama, patch, alone[-1], ids, [64])
    caches = [DynamicCache(config=llama.config) for _ in streams]
    for start in range(0, 64, 8):
        for ids, state, cache in zip(streams, mixed, caches, strict=True):
            read(llama, patch, state, ids[:, start : start + 8], [8], cache=cache)
    for a, b in zip(alone, mixed, strict=True):
        a.flush()
        b.flush()
        close(a, b)


@torch.no_grad()
def test_a_forward_that_raises_leaves_the_state_as_it_was(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch, ids = attach(llama, CONFIG), tokens(40)
    state = patch.new_state()
    read(llama, patch, state, ids, [40])
    kept = state.clone()
    failing = llama.model.layers[3].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), patch.reading(state):
        llama(ids)
    with patch_model(tiny := tiny_model("llama"), CONFIG) as memory:
        tiny(ids)
        broken = tiny.model.layers[2].register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tiny(ids)
        assert memory.state().positions == (40,)
        broken.remove()
        tiny(ids)
        assert memory.state().positions == (80,)
    failing.remove()
    assert state.position == 40
    state.flush()
    kept.flush()
    close(state, kept, atol=0)


@torch.no_grad()
def test_saved_tensors_restore_the_memory(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch = attach(llama, CONFIG)
    state, other = patch.new_state(), patch.new_state()
    read(llama, patch, state, tokens(60), [60])
    with pytest.raises(ConfigError, match="flush"):
        state.tensors()
    state.flush()
    saved = {name: tensor.clone() for name, tensor in state.tensors().items()}
    other.load_tensors(saved)
    assert other.position == 60
    more = [read(llama, patch, s, tokens(40, 3), [40]) for s in (state, other)]
    assert torch.equal(*more)
    with pytest.raises(ConfigError, match=r"lacks '1.usage'"):
        other.load_tensors({n: t for n, t in saved.items() if n != "1.usage"})


def test_foreign_tensors_leave_the_memory_as_it_was(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch = attach(llama, CONFIG)
    state = patch.new_state()
    read(llama, patch, state, tokens(60), [60])
    state.flush()
    before = state.tensors()
    foreign = {**before, "2.keys": before["2.keys"][..., :5], "1.usage": before["1.usage"] + 1}
    with pytest.raises(ConfigError, match="'keys' must be"):
        state.load_tensors(foreign)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.tensors().items())


@torch.no_grad()
def test_counts_add_up_and_start_anew_in_a_clone(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch = attach(llama, CONFIG)
    state = patch.new_state()
    read(llama, patch, state, tokens(50), [20, 30])
    assert set(state.counts) == {1, 2}
    assert all(sum(counts) == 50 for counts in state.counts.values())
    assert sum(state.total_counts()) == 100
    twin = state.clone()
    assert twin.total_counts() == (0, 0, 0)
    with patch.asking(twin):
        llama(tokens(7))
    assert sum(twin.total_counts()) == 14
    assert sum(state.total_counts()) == 100
    state.reset_counts()
    assert state.total_counts() == (0, 0, 0)


@torch.no_grad()
def test_a_bfloat16_model_remembers() -> None:
    model = tiny_model("qwen3").bfloat16()
    plain = model(tokens(60)).logits
    with patch_model(model, CONFIG) as memory:
        logits = model(tokens(60)).logits
        assert logits.dtype == torch.bfloat16
        assert memory.state().bank(1).state()["keys"].dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert not torch.equal(logits, plain)


@torch.no_grad()
def test_patched_continues_over_generation_and_starts_anew_on_reset(
    llama: PreTrainedModel,
) -> None:
    ids = tokens(40)
    settings = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    plain = llama.generate(ids, **settings)
    with patch_model(llama, CONFIG) as memory:
        assert memory.state() is None
        first = llama.generate(ids, **settings)
        assert memory.state().positions == (47,)
        with pytest.raises(ModelPatchError, match=r"1 sequences and the forward has 2.*reset"):
            llama(ids.repeat(2, 1))
        memory.reset()
        assert torch.equal(llama.generate(ids, **settings), first)
        memory.reset()
        llama(ids)
        with memory.asking():
            llama(ids)
        assert memory.state().positions == (40,)
    assert torch.equal(llama.generate(ids, **settings), plain)


@torch.no_grad()
def test_masks_are_checked_and_a_row_may_be_all_padding(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    patch, ids = attach(llama, CONFIG), tokens(40).repeat(2, 1)
    state = patch.new_state(batch=2)
    with pytest.raises(ModelPatchError, match="mask has 1 rows, the memory 2"):
        patch.reading(state, mask=torch.ones(1, 40)).__enter__()
    mask = torch.ones(2, 40)
    mask[1] = 0
    with patch.reading(state, mask=mask):
        llama(ids)
    assert state.positions == (40, 0)
    with pytest.raises(ModelPatchError, match="do not split into 2 rows"), patch.asking(state):
        llama(ids[:1, :39])


@torch.no_grad()
def test_patched_needs_a_forward_with_tokens(llama: PreTrainedModel) -> None:
    with patch_model(llama, CONFIG) as memory:
        memory.flush()
        with pytest.raises(ModelPatchError, match="input_ids or inputs_embeds"):
            llama(attention_mask=torch.ones(1, 4))


def test_what_cannot_be_patched_says_why(
    llama: PreTrainedModel, attach: Callable[..., MemoryPatch]
) -> None:
    with pytest.raises(ModelPatchError, match=r"layer 9 does not exist: .* 4 decoder layers"):
        attach(llama, MemoryConfig(layers=(1, 9)))
    with pytest.raises(ModelPatchError, match=r"Linear has no decoder layers.*modules=\[...\]"):
        attach(nn.Linear(3, 3), CONFIG)
    with (
        patch_model(llama, CONFIG),
        pytest.raises(ModelPatchError, match="carries a memory already"),
    ):
        attach(llama, CONFIG)
    patch = attach(llama, CONFIG)
    state = patch.new_state()
    with (
        patch.asking(state),
        pytest.raises(ModelPatchError, match="cannot be nested"),
        patch.reading(state),
    ):
        pass


@torch.no_grad()
def test_an_unknown_structure_is_patched_by_module_path(llama: PreTrainedModel) -> None:
    paths = [f"model.layers.{i}.mlp.down_proj" for i in range(4)]
    with patch_model(llama, CONFIG) as memory:
        expected = llama(tokens(40)).logits
    with patch_model(llama, CONFIG, modules=paths) as memory:
        assert torch.equal(llama(tokens(40)).logits, expected)
        assert memory.layers == (1, 2)


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(28, (12, 26)), (1, (0,)), (2, (0, 1)), (4, (1, 3)), (8, (3, 7)), (24, (10, 22))],
)
def test_default_layers_keep_the_papers_relative_depth(depth: int, layers: tuple[int, ...]) -> None:
    assert default_layers(depth) == layers


def test_a_model_of_one_layer_works() -> None:
    model = tiny_model("qwen2", num_hidden_layers=1)
    with torch.no_grad(), patch_model(model, MemoryConfig(step=8)) as memory:
        model(tokens(20))
        assert memory.layers == (0,)
