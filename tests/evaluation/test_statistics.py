"""Intervals and verdicts on made-up scores whose truth is known."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pace_integrations.evaluation.statistics import (
    bootstrap_interval,
    compare_arms,
    measure_order_spread,
    sign_flip_test,
)


def records(arm: str, scores, orders=1):
    return [
        {"arm": arm, "id": f"r{i}", "order": o, "score": s}
        for i, s in enumerate(scores)
        for o in range(orders)
    ]


def verdicts(*groups) -> dict[str, str]:
    return {c.arm: c.verdict for c in compare_arms([r for g in groups for r in g])}


def test_clear_differences_are_told_and_chance_is_not() -> None:
    random = np.random.default_rng(3)
    off = random.integers(0, 2, 60).astype(float)
    up, down = np.maximum(off, random.random(60) < 0.4), np.minimum(off, random.random(60) < 0.6)
    chance = np.where(random.random(60) < 0.2, 1 - off, off)
    found = verdicts(
        records("off", off), records("up", up), records("down", down), records("chance", chance)
    )
    assert found == {
        "off": "no evidence",
        "up": "better",
        "down": "worse",
        "chance": "no evidence",
    }


def test_the_interval_is_that_of_the_exact_resampling_distribution() -> None:
    from itertools import product

    values = [0.0, 1.0, 1.0, 0.5]
    means = np.sort([np.mean(draw) for draw in product(values, repeat=4)])
    found = bootstrap_interval(values)
    assert found.mean == 0.625
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.04)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.04)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        found = bootstrap_interval(random.normal(0.3, 1.0, 40), resamples=1000, seed=i)
        hits += found.low <= 0.3 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_an_arm_that_equals_off_differs_by_nothing(scores) -> None:
    (_, same) = compare_arms([*records("off", scores), *records("same", scores)])
    assert same.difference.mean == same.difference.low == same.difference.high == 0
    assert same.verdict == "no evidence"
    assert same.score.low <= same.score.mean + 1e-12
    assert same.score.mean <= same.score.high + 1e-12


def test_a_difference_within_the_noise_floor_is_no_evidence() -> None:
    off, small = [0.5] * 20, [0.52] * 20
    noise = [0.5 + 0.04 * (-1) ** i for i in range(20)]
    assert verdicts(records("off", off), records("small", small))["small"] == "better"
    found = compare_arms(
        [*records("off", off), *records("permuted", noise), *records("small", small)]
    )
    small_one = next(c for c in found if c.arm == "small")
    assert small_one.floor == pytest.approx(0.02, abs=0.008)
    assert compare_arms(
        [*records("off", off), *records("permuted", [0.4] * 20), *records("small", small)]
    )[2].verdict == "no evidence"  # fmt: skip


def test_orders_of_a_row_are_no_rows_of_their_own() -> None:
    off, up = [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0]
    once = compare_arms([*records("off", off), *records("up", up)])[1]
    thrice = compare_arms([*records("off", off, 3), *records("up", up, 3)])[1]
    assert once == thrice


def test_rows_about_one_text_count_as_one_draw() -> None:
    """Ten rows of each text that all move together tell no more than one row of each text."""
    moved = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 1.0, 0.0]
    texts = [f"t{i}" for i in range(8) for _ in range(10)]
    repeated = np.repeat(moved, 10)
    alone = bootstrap_interval(moved)
    together = bootstrap_interval(repeated, groups=texts)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    assert bootstrap_interval(repeated).low > together.low  # what taking rows for draws would say
    assert sign_flip_test(repeated, groups=texts) == pytest.approx(sign_flip_test(moved))
    uneven = bootstrap_interval([1.0, 1.0, 0.0], groups=["a", "a", "b"])
    assert (uneven.mean, uneven.low, uneven.high) == pytest.approx((2 / 3, 0, 1))


def test_the_comparison_takes_rows_of_one_text_together() -> None:
    off, up = records("off", [0.0] * 12), records("up", [1.0] * 4 + [0.0] * 8)
    (_, apart) = compare_arms([*off, *up])
    shared = [{**r, "reading": f"text {int(r['id'][1:]) // 4}"} for r in [*off, *up]]
    (_, found) = compare_arms(shared)
    assert (apart.rows, apart.readings, found.rows, found.readings) == (12, 12, 12, 3)
    assert apart.difference.mean == found.difference.mean
    assert found.difference.low < apart.difference.low
    assert found.detectable > apart.detectable


def test_only_rows_that_both_answered_are_compared() -> None:
    found = compare_arms([*records("off", [0, 0, 0]), *records("up", [1, 1])])
    assert found[1].rows == 2
    assert found[1].difference.mean == 1
    assert compare_arms(records("up", [1])) == []


def test_the_spread_between_orders() -> None:
    rows = [
        {"arm": "off", "id": "a", "order": 0, "score": 1.0},
        {"arm": "off", "id": "a", "order": 1, "score": 0.0},
        {"arm": "off", "id": "b", "order": 0, "score": 1.0},
        {"arm": "off", "id": "b", "order": 1, "score": 0.5},
    ]
    assert measure_order_spread(rows) == 0.75
    assert measure_order_spread(rows[:1]) is None


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 30))
def test_the_chance_of_a_difference_is_that_of_a_fair_coin(up: int, down: int, same: int) -> None:
    changed = up + down
    at_least = range(max(up, down), changed + 1)
    fair = min(1.0, 2 * sum(comb(changed, k) for k in at_least) / 2**changed)
    found = sign_flip_test([1.0] * up + [-1.0] * down + [0.0] * same)
    assert found == pytest.approx(fair, abs=1e-9 if changed <= 12 else 0.02)


def test_few_rows_in_one_direction_are_no_evidence() -> None:
    off = [1.0] * 300
    for lost, told in ((4, "no evidence"), (5, "no evidence"), (6, "worse")):
        (_, own) = compare_arms([*records("off", off), *records("x", [0.0] * lost + off[lost:])])
        assert own.difference.high < 0
        assert own.verdict == told
