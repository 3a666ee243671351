"""What MemoryConfig offers beyond the paper: banks per module, and outputs as values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bank_streams import RULES, same, stream
from patches import close, read, tokens, traces
from tiny import tiny_model

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.errors import ConfigError, ModelPatchError
from pace_integrations.memory import (
    ActivationMemoryBank,
    MemoryPatch,
    build_report,
    project_activations,
)
from pace_integrations.memory.expert_split import merge_modules, split_modules


def modular(rule: str, experts: int, **settings: object) -> MemoryConfig:
    return replace(
        MemoryConfig(rule=rule), slots=6, top_k=3, step=16, horizon=48, similarity="experts",
        experts=experts, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("experts", [2, 3, 6])
@pytest.mark.parametrize("preserve", [False, True])
def test_modules_are_banks_of_their_own(rule: str, experts: int, preserve: bool) -> None:
    config = modular(rule, experts, preserve_norm=preserve)
    alone = replace(config, similarity="full", experts=None)
    whole = ActivationMemoryBank(24, config, batch=2)
    parts = [ActivationMemoryBank(24 // experts, alone, batch=2) for _ in range(experts)]
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[1, :7] = False
    for seed in range(3):
        x = torch.stack([stream(seed, 40, 24), stream(seed + 10, 40, 24)])
        out = whole.step(x, mask=mask)
        slices = zip(parts, x.chunk(experts, dim=2), strict=True)
        expected = torch.cat([bank.step(piece, mask=mask) for bank, piece in slices], dim=2)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    for i, bank in enumerate(parts):
        state = {name: tensor[:, i] for name, tensor in whole.state().items()}
        same(state, bank.state(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_one_module_is_the_whole_activation(rule: str) -> None:
    config = modular(rule, 1)
    one = ActivationMemoryBank(24, config)
    full = ActivationMemoryBank(24, replace(config, similarity="full", experts=None))
    for seed in range(3):
        x = stream(seed, 40, 24)[None]
        assert torch.equal(one.step(x), full.step(x))
    same({name: tensor[:, 0] for name, tensor in one.state().items()}, full.state())


@pytest.mark.parametrize(("batch", "modules"), [(1, 6), (3, 1), (1, 1)])
def test_modules_are_a_view(batch: int, modules: int) -> None:
    x = torch.randn(batch, 5, 24)
    rows = split_modules(x, modules)
    assert rows.shape == (batch * modules, 5, 24 // modules)
    assert rows.data_ptr() == x.data_ptr()
    assert torch.equal(merge_modules(rows, modules), x)


def test_modules_that_do_not_divide_the_width_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"experts=5 does not divide the 96 .* 1, 2, 3, 4, 6, 8"):
        MemoryPatch(tiny_model("llama"), modular("slotwise", 5))
    with pytest.raises(ConfigError, match="experts=5"):
        ActivationMemoryBank(96, modular("slotwise", 5))


@pytest.mark.parametrize(
    "settings",
    [{"experts": 4}, {"similarity": "experts"}, {"similarity": "experts", "experts": 0},
     {"similarity": "modules"}, {"values": "keys"},
     {"similarity": "experts", "experts": 4, "values": "outputs"}],
)  # fmt: skip
def test_settings_that_say_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"experts|similarity|values"):
        MemoryConfig(**settings)


OPTIONS = [{"similarity": "experts", "experts": 4}, {"values": "outputs"}]
options = pytest.mark.parametrize("option", OPTIONS, ids=["experts", "outputs"])


def optional(rule: str, option: dict[str, object], **settings: object) -> MemoryConfig:
    return MemoryConfig(rule=rule, slots=6, top_k=3, step=16, horizon=48, **option, **settings)


@options
@pytest.mark.parametrize("rule", RULES)
@torch.no_grad()
def test_chunks_and_saving_change_nothing(rule: str, option: dict[str, object]) -> None:
    model, ids = tiny_model("llama"), tokens(70)
    patch = MemoryPatch(model, optional(rule, option, layers=(1,)))
    states = [patch.new_state() for _ in range(3)]
    whole = read(model, patch, states[0], ids, [70], cuts=[30])
    parts = read(model, patch, states[1], ids, [5, 20, 1, 30, 14], cuts=[30])
    torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-3)
    for state in states[:2]:
        state.flush()
    close(*states[:2])
    states[2].load_tensors(states[0].tensors())
    same(states[2].tensors(), states[0].tensors())
    assert build_report(states[2]) == build_report(states[0])
    with patch.asking(states[0]):
        asked = model(ids).logits
    with patch.asking(states[2]):
        assert torch.equal(model(ids).logits, asked)
    patch.remove()


@torch.no_grad()
def test_lookups_and_slots_are_counted_by_module() -> None:
    model = tiny_model("llama")
    patch = MemoryPatch(model, modular("slotwise", 4, layers=(1,)))
    state = patch.new_state()
    read(model, patch, state, tokens(40), [40])
    state.flush()
    (layer,) = build_report(state)
    assert (layer.modules, layer.capacity) == (4, 24)
    assert layer.hits.total == sum(state.total_counts()) == 4 * 40
    assert {slot.module for slot in layer.slots} == {0, 1, 2, 3}
    recent, stored = project_activations(state, 1, module=2)
    assert len(recent) == 8
    assert len(stored) == sum(slot.module == 2 for slot in layer.slots)
    patch.remove()


@options
@torch.no_grad()
def test_without_blend_or_patch_nothing_changes(option: dict[str, object]) -> None:
    model, ids = tiny_model("llama"), tokens(40)
    plain, before = model(ids).logits, traces(model)
    patch = MemoryPatch(model, optional("released", option, blend=0.0))
    state = patch.new_state()
    with patch.reading(state):
        assert torch.equal(model(ids).logits, plain)
    assert sum(state.total_counts()) > 0
    with pytest.raises(ModelPatchError, match="already"):
        MemoryPatch(model, MemoryConfig())
    patch.remove()
    patch = MemoryPatch(model, optional("released", option))
    with patch.reading(patch.new_state()):
        assert not torch.equal(model(ids).logits, plain)
    assert torch.equal(model(ids).logits, plain)
    patch.remove()
    assert traces(model) == before


@options
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_changes_nothing(side: str, option: dict[str, object]) -> None:
    model, ids = tiny_model("llama"), tokens(40)
    padded = torch.cat([tokens(40, 1), torch.zeros(1, 40, dtype=torch.long)])
    mask = torch.ones(2, 40, dtype=torch.bool)
    own = slice(15, 40) if side == "left" else slice(0, 25)
    padded[1, own], mask[1] = ids[0, :25], False
    mask[1, own] = True
    places = (mask.long().cumsum(1) - 1).clamp(min=0)
    patch = MemoryPatch(model, optional("slotwise", option))
    with patch.reading(patch.new_state()):
        alone = model(ids[:, :25]).logits[0]
    with patch.reading(patch.new_state(2), mask=mask):
        both = model(padded, attention_mask=mask.long(), position_ids=places).logits[1, own]
    patch.remove()
    torch.testing.assert_close(both, alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("family", ["llama", "qwen3"])
@torch.no_grad()
def test_outputs_as_values_are_the_same_memory_projected(family: str, rule: str) -> None:
    """The projection is linear: memories of what goes in and of what comes out agree."""
    model, ids, done = tiny_model(family), tokens(70), {}
    for values in ("activations", "outputs"):
        patch = MemoryPatch(model, optional(rule, {"values": values}, layers=(1,)))
        state = patch.new_state()
        logits = read(model, patch, state, ids, [30, 40])
        state.flush()
        patch.remove()
        done[values] = logits, state.bank(1).state()
    (before, inner), (after, outer) = done["activations"], done["outputs"]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    weight = model.model.layers[1].mlp.down_proj.weight
    torch.testing.assert_close(outer["values"], inner["values"] @ weight.T, rtol=1e-3, atol=1e-3)
    same({n: t for n, t in outer.items() if n != "values"},
         {n: t for n, t in inner.items() if n != "values"})  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("family", ["gpt2", "opt", "phi", "gpt_neox", "starcoder2"])
@torch.no_grad()
def test_outputs_of_blocks_with_a_bias_are_mixed(family: str, rule: str) -> None:
    model, ids = tiny_model(family), tokens(70)
    plain = model(ids).logits
    patch = MemoryPatch(model, optional(rule, {"values": "outputs"}, layers=(1,)))
    with patch.reading(patch.new_state()):
        remembered = model(ids).logits
    patch.remove()
    assert torch.equal(remembered[:, :16], plain[:, :16])
    assert not torch.equal(remembered, plain)


@torch.no_grad()
def test_outputs_keep_their_length_if_asked() -> None:
    config = MemoryConfig(values="outputs", preserve_norm=True, slots=6, step=16)
    bank, weight = ActivationMemoryBank(24, config, width=10), torch.randn(24, 10)
    for seed in range(3):
        x = stream(seed, 40, 24)[None]
        out = bank.step(x, outputs=x @ weight)
    assert not torch.allclose(out, x @ weight)
    torch.testing.assert_close(out.norm(dim=-1), (x @ weight).norm(dim=-1))


def test_outputs_that_are_missing_are_named() -> None:
    config = MemoryConfig(values="outputs")
    with pytest.raises(ConfigError, match="width"):
        ActivationMemoryBank(24, config)
    bank = ActivationMemoryBank(24, config, width=10)
    for outputs in (None, torch.zeros(1, 3, 24)):
        with pytest.raises(ConfigError, match=r"outputs must be \(1, 3, 10\)"):
            bank.step(torch.zeros(1, 3, 24), outputs=outputs)


@options
def test_a_session_saves_reports_and_answers(
    option: dict[str, object], tiny_path: Path, corpus: Corpus, tmp_path: Path
) -> None:
    short = GenerationConfig(max_new_tokens=8)
    with Pace.load(tiny_path, memory=optional("slotwise", option)) as pace:
        session = pace.read(corpus)
        session.save(tmp_path / "notes.pace")
        opened = pace.open(tmp_path / "notes.pace")
        question = "Where is the oak?"
        one, two = (s.ask(question, generation=short) for s in (session, opened))
        assert (one.text, one.memory) == (two.text, two.memory)
        assert opened.memory_report() == session.memory_report()
        session.plot_memory(tmp_path)
