"""Look-ups that store nothing take a short way, and give what the long one gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bank_streams import RULES, Recorder, stream
from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.memory import ActivationMemoryBank
from pace_integrations.memory.frozen_lookup import FrozenLookup

CONFIG = MemoryConfig(slots=12, top_k=3, step=16, horizon=48, theta_low=0.3, theta_high=0.6)
OPTIONS = {
    "plain": {},
    "norms": {"preserve_norm": True},
    "nothing": {"blend": 0.0},
    "outputs": {"values": "outputs"},
    "experts": {"similarity": "experts", "experts": 4},
    "wide": {"top_k": 20, "bottom_k": 20, "slots": 20},
}


def filled(config: MemoryConfig, steps: int, seed: int = 0, batch: int = 1) -> ActivationMemoryBank:
    """A bank that has read some steps, each of 16 tokens."""
    bank = ActivationMemoryBank(24, config, batch=batch, width=10)
    for i in range(steps):
        x = torch.stack([stream(seed + 10 * r + i, 16, 24) for r in range(batch)])
        bank.step(x, outputs=made(x, config))
    return bank


def made(x: Tensor, config: MemoryConfig) -> Tensor | None:
    """What a block would make of activations, where the memory wants to know."""
    return x[..., :10] * 2 if config.values == "outputs" else None


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_asking_gives_what_a_lookup_gives(rule: str, options: dict, steps: int) -> None:
    config = replace(CONFIG, rule=rule, **options)
    levels = torch.zeros(3, dtype=torch.int64)
    for seed in range(12):
        bank = filled(config, steps, seed)
        x = stream(seed + 90, 1, 24)[None]
        expected, found = bank.begin_step(x, outputs=made(x, config))
        assert FrozenLookup.fits(x, config)
        out, counts = bank.ask(x, outputs=made(x, config))
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        assert counts.tolist() == found.count_hits(config).tolist()
        levels += counts
    assert steps == 0 or (levels > 0).sum() >= 2


def test_rows_of_a_batch_are_asked_by_themselves() -> None:
    bank = filled(CONFIG, 3, batch=3)
    x = torch.stack([stream(7 * r, 2, 24) for r in range(3)])
    torch.testing.assert_close(bank.ask(x)[0], bank.lookup(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_dtype_stays_and_unknown_tokens_pass_bit_by_bit(dtype: torch.dtype) -> None:
    bank = filled(replace(CONFIG, theta_low=0.55), 3)
    for seed in range(20):
        x = stream(seed + 40, 1, 24)[None].to(dtype)
        out, counts = bank.ask(x)
        assert out.dtype == dtype
        if counts.tolist() == [0, 0, 1]:
            assert torch.equal(out, x)


def test_without_blend_the_very_input_comes_back() -> None:
    bank, x = filled(replace(CONFIG, blend=0.0), 2), stream(5, 1, 24)[None]
    assert bank.ask(x)[0] is x


def test_the_preparation_is_shared_by_clones_and_ends_with_an_update() -> None:
    bank, x = filled(CONFIG, 3), stream(5, 1, 24)[None]
    twin = bank.clone()
    before = bank.ask(x)[0]
    assert twin._frozen is bank._frozen
    assert len(twin._frozen) == 1
    twin.step(stream(6, 16, 24)[None])
    torch.testing.assert_close(twin.ask(x)[0], twin.lookup(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(bank.ask(x)[0], before)


def test_what_wants_gradients_or_autocast_takes_the_long_way() -> None:
    bank, x = filled(CONFIG, 3), stream(5, 1, 24)[None].requires_grad_()
    bank.ask(x)[0].sum().backward()
    assert x.grad is not None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(bank.ask(x.detach())[0], bank.lookup(x.detach()))
    assert not FrozenLookup.fits(stream(1, 400, 24)[None], CONFIG)


def test_a_token_takes_few_operations_and_never_waits_for_the_device() -> None:
    bank, x = filled(CONFIG, 3), stream(5, 1, 24)[None]
    bank.ask(x)
    with Recorder() as short:
        bank.ask(x)
    with Recorder() as long:
        bank.begin_step(x)[1].count_hits(CONFIG)
    waits = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "masked_select")
    assert not [n for n in short.names if any(wait in n for wait in waits)]
    assert len(short.names) < 0.6 * len(long.names)
