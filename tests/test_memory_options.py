"""What MemoryConfig offers beyond the paper: banks per module."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_memory_bank import RULES, same, stream
from test_memory_patch import close, read, tokens
from tiny import tiny_model

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.errors import ConfigError
from pace_integrations.memory import ActivationMemoryBank, MemoryPatch, picture, report
from pace_integrations.memory.modules import merge, split


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
    rows = split(x, modules)
    assert rows.shape == (batch * modules, 5, 24 // modules)
    assert rows.data_ptr() == x.data_ptr()
    assert torch.equal(merge(rows, modules), x)


def test_modules_that_do_not_divide_the_width_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"experts=5 does not divide the 96 .* 1, 2, 3, 4, 6, 8"):
        MemoryPatch(tiny_model("llama"), modular("slotwise", 5))
    with pytest.raises(ConfigError, match="experts=5"):
        ActivationMemoryBank(96, modular("slotwise", 5))


@pytest.mark.parametrize(
    "settings",
    [{"experts": 4}, {"similarity": "experts"}, {"similarity": "experts", "experts": 0},
     {"similarity": "modules"}],
)  # fmt: skip
def test_settings_that_say_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"experts|similarity"):
        MemoryConfig(**settings)


@pytest.mark.parametrize("rule", RULES)
@torch.no_grad()
def test_chunks_and_saving_change_nothing(rule: str) -> None:
    model, ids = tiny_model("llama"), tokens(70)
    patch = MemoryPatch(model, modular(rule, 4, layers=(1,)))
    states = [patch.new_state() for _ in range(3)]
    whole = read(model, patch, states[0], ids, [70], cuts=[30])
    parts = read(model, patch, states[1], ids, [5, 20, 1, 30, 14], cuts=[30])
    torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-3)
    for state in states[:2]:
        state.flush()
    close(*states[:2])
    states[2].load_tensors(states[0].tensors())
    same(states[2].tensors(), states[0].tensors())
    assert report(states[2]) == report(states[0])
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
    (layer,) = report(state)
    assert (layer.modules, layer.capacity) == (4, 24)
    assert layer.hits.total == sum(state.total_counts()) == 4 * 40
    assert {slot.module for slot in layer.slots} == {0, 1, 2, 3}
    recent, stored = picture(state, 1, module=2)
    assert len(recent) == 8
    assert len(stored) == sum(slot.module == 2 for slot in layer.slots)
    patch.remove()


@torch.no_grad()
def test_without_blend_nothing_changes() -> None:
    model, ids = tiny_model("llama"), tokens(40)
    plain = model(ids).logits
    patch = MemoryPatch(model, modular("released", 4, blend=0.0))
    state = patch.new_state()
    with patch.reading(state):
        assert torch.equal(model(ids).logits, plain)
    assert sum(state.total_counts()) == 2 * 4 * 40
    patch.remove()


@pytest.mark.parametrize("rule", RULES)
def test_a_session_saves_reports_and_answers_by_modules(
    rule: str, tiny_path: Path, corpus: Corpus, tmp_path: Path
) -> None:
    short = GenerationConfig(max_new_tokens=8)
    with Pace.load(tiny_path, memory=modular(rule, 4)) as pace:
        session = pace.read(corpus)
        session.save(tmp_path / "notes.pace")
        opened = pace.open(tmp_path / "notes.pace")
        question = "Where is the oak?"
        one, two = (s.ask(question, generation=short) for s in (session, opened))
        assert (one.text, one.memory) == (two.text, two.memory)
        assert opened.memory_report() == session.memory_report()
        session.plot_memory(tmp_path)
