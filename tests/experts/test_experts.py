"""Clustering: equal sizes, the same answer for a seed, and as tight as the paper's solver."""

from __future__ import annotations

import builtins
import importlib.util
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pace_integrations.errors import ConfigError, MissingExtraError
from pace_integrations.experts import cluster_neurons, measure_inertia
from pace_integrations.experts.assignment import assign_balanced
from recipes import bench_experts


@st.composite
def problems(draw: st.DrawFn, rows: int = 60) -> tuple[Tensor, int]:
    """Weights of any kind, and a number of experts that divides them."""
    experts = draw(st.integers(1, 8))
    size = draw(st.integers(1, rows // experts))
    features = draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    weight = torch.randn(experts * size, features, generator=generator)
    kind = draw(st.sampled_from(["plain", "rounded", "copies", "zeros", "large"]))
    if kind == "rounded":  # many equal distances
        weight = weight.round()
    elif kind == "copies":
        weight = weight[:1].expand_as(weight)
    elif kind == "zeros":
        weight[::2] = 0
    elif kind == "large":
        weight *= torch.logspace(-8, 8, len(weight))[:, None]
    return weight, experts


def grouped(seed: int, experts: int, size: int, features: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(experts, features, generator=generator) * spread
    which = torch.randint(experts, (experts * size,), generator=generator)
    return centres[which] + torch.randn(experts * size, features, generator=generator)


@settings(max_examples=20, deadline=None)
@given(problems(), st.integers(0, 2**31), st.booleans())
def test_sizes_are_equal_and_a_seed_repeats(
    problem: tuple[Tensor, int], seed: int, normalize: bool
) -> None:
    weight, experts = problem
    before = weight.clone()
    labels = cluster_neurons(weight, experts, seed=seed, normalize=normalize)
    assert labels.dtype == torch.int64
    assert labels.bincount(minlength=experts).tolist() == [len(weight) // experts] * experts
    assert torch.equal(labels, cluster_neurons(weight, experts, seed=seed, normalize=normalize))
    assert torch.equal(weight, before)


def cheapest(costs: np.ndarray, size: int) -> float:
    """The least total cost, by trying every way to fill the clusters row by row."""
    best = {(0,) * costs.shape[1]: 0.0}
    for row in costs.tolist():
        longer: dict[tuple[int, ...], float] = {}
        for counts, total in best.items():
            for k, cost in enumerate(row):
                if counts[k] < size:
                    filled = (*counts[:k], counts[k] + 1, *counts[k + 1 :])
                    longer[filled] = min(longer.get(filled, math.inf), total + cost)
        best = longer
    return min(best.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31), st.booleans())
def test_the_assignment_is_the_cheapest_one(
    clusters: int, size: int, seed: int, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.normal(size=(clusters * size, clusters)).astype(np.float32)
    costs = costs.round() if whole else costs  # whole costs have many equally good answers
    prices = rng.normal(size=clusters).astype(np.float32)
    for start in (None, prices):
        labels, _ = assign_balanced(costs, start)
        assert np.bincount(labels, minlength=clusters).tolist() == [size] * clusters
        assert costs[np.arange(len(costs)), labels].sum() == pytest.approx(
            cheapest(costs, size), abs=1e-4
        )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spread", [0.0, 0.7, 3.0])
def test_it_is_as_tight_as_the_solver_of_the_paper(seed: int, spread: float) -> None:
    pytest.importorskip("k_means_constrained")
    weight = grouped(seed, experts := 5 + seed, 24, 16, spread)
    ours, theirs = (
        measure_inertia(weight, cluster_neurons(weight, experts, solver=solver, seed=seed))
        for solver in ("fast", "constrained")
    )
    assert ours <= 1.002 * theirs


def test_groups_that_are_plain_to_see_are_found() -> None:
    truth = torch.arange(6).repeat(20)
    weight = torch.eye(6)[truth] * torch.linspace(0.5, 2, 120)[:, None]
    labels = cluster_neurons(weight, 6)
    assert len({(int(a), int(b)) for a, b in zip(truth, labels, strict=True)}) == 6
    assert measure_inertia(weight, labels) == pytest.approx(0, abs=1e-9)
    assert measure_inertia(weight, labels, normalize=False) > 1


def test_inertia_is_the_sum_of_squared_distances_to_the_means() -> None:
    weight = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0], [5.0, 9.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert measure_inertia(weight, labels, normalize=False) == pytest.approx(2 + 8)


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[int, int]] = []
    cluster_neurons(grouped(0, 4, 12, 8, 1.0), 4, progress=lambda *step: seen.append(step))
    assert seen
    assert [done for done, _ in seen] == [*range(1, len(seen) + 1)]
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("experts", [0, -1, 5, 13])
def test_a_division_that_does_not_come_out_names_those_that_do(experts: int) -> None:
    with pytest.raises(ConfigError, match=r"12 neurons .* choose one of 1, 2, 3, 4, 6, 12$"):
        cluster_neurons(torch.randn(12, 4), experts)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(12), "one row per neuron"),
        (torch.zeros(12, 4, dtype=torch.uint8), r"torch\.uint8 of shape \(12, 4\)"),
        (torch.full((12, 4), torch.nan), "not finite"),
    ],
)
def test_weights_that_cannot_be_clustered(weight: Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cluster_neurons(weight, 3)


def test_an_unknown_solver_is_named() -> None:
    with pytest.raises(ConfigError, match="'fast' or 'constrained', not 'slow'"):
        cluster_neurons(torch.randn(12, 4), 3, solver="slow")


def test_the_constrained_solver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "k_means_constrained" else real(name, *rest),
    )
    with pytest.raises(MissingExtraError, match=r"pace-integrations\[experts\]"):
        cluster_neurons(torch.randn(12, 4), 3, solver="constrained")


def test_the_fast_solver_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def strict(name: str, *rest: object, **more: object) -> object:
        assert not name.startswith(("k_means_constrained", "ortools", "scipy")), name
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", strict)
    assert len(cluster_neurons(torch.randn(12, 4), 3)) == 12


def test_the_benchmark_measures_both_solvers(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("k_means_constrained")
    bench_experts.main(["--shapes", "96x32/8"])
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("96x32/8 | ")
    assert "equal sizes: True; repeatable: True" in row
