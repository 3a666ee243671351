"""The bank against a slow reference, and what must hold for any bank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bank_streams import RULES, Recorder, same, stream
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from slow_bank import SLOW_BANKS, SlowBank

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.memory import ActivationMemoryBank

CONFIG = MemoryConfig(slots=8, top_k=3, bottom_k=2, step=16, horizon=48)


def settled(seed: int = 0, features: int = 24, config: MemoryConfig = CONFIG) -> tuple:
    bank = ActivationMemoryBank(features, config)
    for i in range(3):
        bank.step(stream(seed + i, 16, features)[None])
    return bank, stream(seed + 9, 16, features)[None]


SEARCH = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)
shapes = {
    "seed": st.integers(0, 2**32 - 1),
    "features": st.integers(3, 24),
    "sizes": st.lists(st.integers(1, 20), min_size=1, max_size=6),
    "noise": st.floats(0.05, 1.5),
}
configs = st.builds(
    MemoryConfig,
    slots=st.integers(1, 12),
    top_k=st.integers(1, 6),
    bottom_k=st.integers(1, 4),
    blend=st.sampled_from([0.0, 0.2, 1.0]),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    theta_low=st.sampled_from([0.0, 0.25, 0.4]),
    preserve_norm=st.booleans(),
    step=st.just(20),
)


def follows(
    slow: SlowBank, seed: int, features: int, sizes: list[int], noise: float
) -> ActivationMemoryBank:
    """Runs a stream through both, and compares every output and the bank at the end."""
    fast, position = ActivationMemoryBank(features, slow.config), 0
    for tokens in stream(seed, sum(sizes), features, noise).split(sizes):
        expected = slow.step(tokens.numpy(), position)
        # Where a decision hangs on the last bits, float32 and float64 may both be right.
        assume(slow.margin > 1e-5)
        out = fast.step(tokens[None], position=position)
        np.testing.assert_allclose(out[0].numpy(), expected, rtol=1e-5, atol=1e-5)
        position += len(tokens)
    state = {name: tensor[0].numpy() for name, tensor in fast.state().items()}
    np.testing.assert_allclose(state["keys"], slow.keys, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state["values"], slow.values, rtol=1e-5, atol=1e-5)
    assert state["usage"].tolist() == slow.usage
    assert state["written"].tolist() == slow.written
    assert state["filled"] == slow.filled
    return fast


@pytest.mark.parametrize("rule", RULES)
@SEARCH
@given(config=configs, horizon=st.integers(10, 100), **shapes)
def test_a_rule_equals_its_slow_reference(
    rule: str,
    config: MemoryConfig,
    horizon: int,
    seed: int,
    features: int,
    sizes: list[int],
    noise: float,
) -> None:
    config = replace(config, rule=rule, horizon=horizon)
    follows(SLOW_BANKS[rule](features, config), seed, features, sizes, noise)


def test_thresholds_and_blend_follow_the_rule() -> None:
    paper, released = MemoryConfig(rule="paper"), MemoryConfig()
    assert (paper.theta_high, paper.theta_low, paper.blend) == (0.7, 0.3, 1.0)
    assert (released.theta_high, released.theta_low, released.blend) == (0.75, 0.25, 0.2)
    assert MemoryConfig(rule="paper", blend=0.5).blend == 0.5
    with pytest.raises(ConfigError, match="rule must be one of"):
        MemoryConfig(rule="other")


def test_equal_similarities_keep_slot_order() -> None:
    bank = ActivationMemoryBank(4, replace(CONFIG, top_k=2, bottom_k=1))
    bank.step(torch.eye(4)[None])
    # The first two slots resemble the token alike, and so do, less, the last two.
    _, found = bank.begin_step(torch.tensor([[[1.0, 1.0, 0.1, 0.1], [0.0, 0.0, 0.0, 0.0]]]))
    assert found.top.tolist() == [[[0, 1], [0, 1]]]
    assert (found.mix[0, 0] > 0).nonzero().flatten().tolist() == [0, 1, 2]


def test_an_empty_bank_changes_nothing_and_keeps_the_first_tokens() -> None:
    x = stream(1, 12, 10)[None]
    bank = ActivationMemoryBank(10, CONFIG)
    assert torch.equal(bank.lookup(x), x)
    assert torch.equal(bank.step(x), x)
    state = bank.state()
    assert torch.equal(state["keys"], x[:, :8])
    assert torch.equal(state["values"], x[:, :8])
    assert state["usage"].tolist() == [[1] * 8]
    assert state["written"].tolist() == [list(range(8))]


@pytest.mark.parametrize("rule", RULES)
def test_a_lookup_stores_nothing(rule: str) -> None:
    config = replace(CONFIG, rule=rule)
    bank, x = settled(config=config)
    before = {name: tensor.clone() for name, tensor in bank.state().items()}
    assert torch.equal(bank.lookup(x), bank.step(x, write=False))
    same(bank.state(), before)


def test_without_blend_the_very_input_comes_back_and_is_stored() -> None:
    bank, x = settled(config=replace(CONFIG, blend=0.0))
    before = bank.state()["keys"]
    assert bank.step(x) is x
    assert not torch.equal(bank.state()["keys"], before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_shape_and_dtype_stay_and_unknown_tokens_pass_bit_by_bit(dtype: torch.dtype) -> None:
    bank, x = settled(config=replace(CONFIG, theta_low=0.5))
    x = x.to(dtype) / 3
    out, found = bank.begin_step(x)
    low = found.best <= 0.5
    assert out.dtype == dtype
    assert out.shape == x.shape
    assert 0 < low.sum() < low.numel()
    assert torch.equal(out[low], x[low])
    assert not torch.equal(out[~low], x[~low])
    assert all(t.dtype == torch.float32 for n, t in bank.state().items() if n in ("keys", "values"))


def test_activations_may_keep_their_length() -> None:
    plain, x = settled()
    bank = ActivationMemoryBank(24, replace(CONFIG, preserve_norm=True))
    bank.load_state(plain.state())
    out, turned = plain.lookup(x), bank.lookup(x)
    assert (out.norm(dim=-1) < 0.99 * x.norm(dim=-1)).any()
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(
        torch.nn.functional.normalize(turned, dim=-1), torch.nn.functional.normalize(out, dim=-1)
    )


def test_half_precision_input_is_looked_up_in_float32() -> None:
    bank, x = settled()
    x = x.bfloat16()
    assert torch.equal(bank.lookup(x), bank.lookup(x.float()).bfloat16())


def test_autocast_does_not_narrow_the_bank() -> None:
    bank, x = settled()
    twin = bank.clone()
    expected = twin.step(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(bank.step(x), expected)
    same(bank.state(), twin.state())


@pytest.mark.parametrize("rule", RULES)
def test_rows_of_a_batch_never_meet(rule: str) -> None:
    config = replace(CONFIG, rule=rule)
    rows = [torch.stack([stream(10 * r + i, 16, 24) for i in range(3)]) for r in range(3)]
    together = ActivationMemoryBank(24, config, batch=3)
    alone = [ActivationMemoryBank(24, config) for _ in rows]
    for i in range(3):
        out = together.step(torch.stack([row[i] for row in rows]))
        for r, bank in enumerate(alone):
            torch.testing.assert_close(out[r : r + 1], bank.step(rows[r][i][None]))
    for r, bank in enumerate(alone):
        own = {name: tensor[r : r + 1] for name, tensor in together.state().items()}
        same(own, bank.state(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0, float("nan")])
@pytest.mark.parametrize("rule", RULES)
def test_padding_passes_and_never_enters(value: float, rule: str) -> None:
    config = replace(CONFIG, rule=rule)
    mask = torch.tensor([[False] * 3 + [True] * 9 + [False] * 2, [True] * 12 + [False] * 2])
    padded, alone = (
        ActivationMemoryBank(24, config, batch=2),
        [ActivationMemoryBank(24, config) for _ in range(2)],
    )
    for i in range(4):
        x = torch.stack([stream(i, 14, 24), stream(50 + i, 14, 24)])
        x[~mask] = value
        out = padded.step(x, mask=mask)
        assert torch.equal(out[~mask].nan_to_num(), x[~mask].nan_to_num())
        for r, bank in enumerate(alone):
            torch.testing.assert_close(out[r][mask[r]], bank.step(x[r][mask[r]][None])[0])
    for r, bank in enumerate(alone):
        own = {name: tensor[r : r + 1] for name, tensor in padded.state().items()}
        same(own, bank.state(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [[16], [1] * 16, [3, 13], [5, 5, 6]])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_in_parts_is_the_same_step(sizes: list[int], rule: str) -> None:
    config = replace(CONFIG, rule=rule)
    bank, x = settled(config=config)
    whole = bank.clone()
    expected = whole.step(x)
    looks = [bank.begin_step(part) for part in x.split(sizes, dim=1)]
    bank.update(*(found for _, found in looks), positions=torch.arange(48, 64)[None])
    torch.testing.assert_close(torch.cat([out for out, _ in looks], 1), expected)
    same(bank.state(), whole.state(), rtol=1e-5, atol=1e-6)


def test_more_tokens_than_a_step_are_cut_into_steps() -> None:
    x = torch.cat([stream(i, 16, 24) for i in range(3)])[None, :40]
    one, many = ActivationMemoryBank(24, CONFIG), ActivationMemoryBank(24, CONFIG)
    out = one.step(x)
    assert torch.equal(out, torch.cat([many.step(part) for part in x.split(16, 1)], 1))
    same(one.state(), many.state())
    assert one.state()["written"].max() >= 32


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_features_does_not_matter(rule: str) -> None:
    config, order = (
        replace(CONFIG, rule=rule),
        torch.randperm(24, generator=torch.Generator().manual_seed(0)),
    )
    plain, permuted = (ActivationMemoryBank(24, config) for _ in range(2))
    for i in range(4):
        x = stream(i, 16, 24)[None]
        torch.testing.assert_close(permuted.step(x[..., order]), plain.step(x)[..., order])
    torch.testing.assert_close(permuted.state()["keys"], plain.state()["keys"][..., order])


@pytest.mark.parametrize("rule", RULES)
def test_what_was_handed_out_stays_as_it_was(rule: str) -> None:
    config = replace(CONFIG, rule=rule)
    bank, x = settled(config=config)
    twin, state = bank.clone(), bank.state()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    bank.step(x)
    same(state, kept)
    same(twin.state(), kept)
    assert not torch.equal(bank.state()["keys"], kept["keys"])
    bank.load_state(kept)
    same(bank.state(), kept)
    torch.testing.assert_close(bank.step(x, position=48), twin.step(x))
    same(bank.state(), twin.state())


def coherence(keys: torch.Tensor) -> tuple[float, float]:
    """Effective rank (exponential of the entropy of squared singular values) and mean cosine."""
    share = torch.linalg.svdvals(keys).square()
    share = share / share.sum()
    unit = torch.nn.functional.normalize(keys, dim=-1)
    cosine = ((unit @ unit.T).sum() - len(keys)) / (len(keys) * (len(keys) - 1))
    return float(torch.special.entr(share).sum().exp()), float(cosine)


def test_slotwise_stays_diverse_and_current() -> None:
    config = MemoryConfig(rule="slotwise", slots=20, step=64, horizon=1280)
    bank, x = ActivationMemoryBank(32, config), stream(3, 5120, 32)
    bank.step(x[None])
    some = torch.Generator().manual_seed(0)
    random = [coherence(x[torch.randperm(5120, generator=some)[:20]]) for _ in range(20)]
    rank, cosine = (sum(values) / 20 for values in zip(*random, strict=True))
    kept = coherence(bank.state()["keys"][0])
    assert kept[0] >= 0.95 * rank
    assert abs(kept[1]) <= max(1.3 * abs(cosine), 0.02)
    age = 5120 - bank.state()["written"][0]
    assert age.min() <= 64
    assert age.max() >= 1000
    # A slot holds one token, unchanged, and its position says which.
    assert torch.equal(bank.state()["keys"][0], x[bank.state()["written"][0]])


def test_reset_empties_the_bank() -> None:
    bank, x = settled()
    bank.reset()
    same(bank.state(), ActivationMemoryBank(24, CONFIG).state())
    assert torch.equal(bank.lookup(x), x)


def test_foreign_state_and_foreign_shapes_are_refused() -> None:
    bank, x = settled()
    with pytest.raises(ConfigError, match=r"'keys' must be \(1, 8, 24\), got \(1, 8, 10\)"):
        bank.load_state(ActivationMemoryBank(10, CONFIG).state())
    with pytest.raises(ConfigError, match="'usage' must be"):
        bank.load_state({n: t for n, t in bank.state().items() if n != "usage"})
    with pytest.raises(ConfigError, match="activations must be"):
        bank.step(x[..., :5])
    with pytest.raises(ConfigError, match="activations must be"):
        bank.lookup(x[0])


def test_the_output_carries_gradients_and_the_bank_does_not() -> None:
    bank, x = settled()
    x.requires_grad_()
    bank.step(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not bank.state()["keys"].requires_grad


@pytest.mark.parametrize("rule", RULES)
def test_a_step_makes_no_large_intermediate_and_never_waits_for_the_device(rule: str) -> None:
    config = MemoryConfig(rule=rule, slots=40, step=64)
    bank = ActivationMemoryBank(100, config)
    for i in range(2):
        bank.step(stream(i, 64, 100)[None])
    with Recorder() as recorder:
        bank.step(stream(5, 64, 100)[None])
    assert recorder.largest <= 64 * 100
    waits = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "masked_select", "_index_put")
    assert not [n for n in recorder.names if any(wait in n for wait in waits)]
    with Recorder() as longer:
        bank.step(stream(6, 8, 100)[None])
    assert len(longer.names) == len(recorder.names)
