"""Statistics of scores: means, paired intervals, p values and a verdict. Knows no model."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pace_integrations.errors import MissingExtraError

Verdict = Literal["better", "worse", "no evidence"]
Record = Mapping[str, Any]
Scores = dict[str, dict[int, float]]  # row id -> document order -> score
Array = NDArray[np.float64]

RESAMPLES = 10_000
ALPHA = 0.05
REFERENCE, FLOOR = "off", "permuted"


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval.

    Attributes:
        mean: Mean over rows.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """An arm on the rows that it shares with memory off.

    Attributes:
        arm: Name of the arm.
        rows: Rows compared.
        readings: Different texts among them; rows of one text are drawn together.
        score: Its mean score and interval.
        difference: Its score less that of memory off, row by row.
        chance: How often a difference as large came up with signs drawn at random, see `sign_flip`.
        detectable: The smallest difference that as many rows with as much spread would show four
            times out of five.
        floor: The largest difference that the noise floor's interval reaches; 0 where unmeasured.
        verdict: What follows.
    """

    arm: str
    rows: int
    readings: int
    score: Interval
    difference: Interval
    p_value: float
    detectable: float
    floor: float
    verdict: Verdict


def collect_scores(records: Iterable[Record]) -> dict[str, Scores]:
    """Collect scores by arm, row and document order."""
    found: dict[str, Scores] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        found[record["arm"]][record["id"]][record["order"]] = float(record["score"])
    return {arm: dict(rows) for arm, rows in found.items()}


def keep_common_rows(records: Sequence[Record]) -> list[Record]:
    """Return the records of the rows and document orders that every arm has answered.

    Arms of a run that was ended early are then compared on the same rows.
    """
    found: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for record in records:
        found[record["arm"]].add((record["id"], record["order"]))
    common = set.intersection(*found.values()) if found else set()
    return [record for record in records if (record["id"], record["order"]) in common]


def bootstrap_interval(
    values: Sequence[float] | Array,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean and 95 % percentile interval over rows, which are drawn with replacement.

    Args:
        values: One value per row: a score, or a difference of two on the same row.
        groups: A name per row; rows of one name are drawn together, as they are not independent.
        resamples: Draws.
        seed: Equal values with an equal seed give an equal interval.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return Interval(float("nan"), float("nan"), float("nan"))
    mean = float(data.mean())
    sums, counts = _add_up(data, groups)
    if len(sums) == 1:  # one row, drawn again and again
        return Interval(mean, mean, mean)
    found = _load_scipy().bootstrap(
        (sums, counts),
        lambda s, c, axis=-1: s.sum(axis) / c.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=resamples,
        batch=_batch_size(len(sums)),
        rng=np.random.default_rng(seed),
    )
    return Interval(mean, *map(float, found.confidence_interval))


def sign_flip_test(
    differences: Sequence[float] | Array,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Return the share of all sign patterns of the differences whose mean is as far from zero.

    If an arm changed nothing, each row's difference might as well have the other sign (Fisher's
    randomization test). A bootstrap interval alone is clear of zero as soon as four rows of many
    differ, all in one direction, which chance does one time in eight.

    Args:
        differences: One per row; zeros have no part in it.
        groups: A name per row; rows of one name have the same sign.
        resamples: Patterns drawn where there are too many to take all.
        seed: Of those.
    """
    data = _add_up(np.asarray(differences, dtype=np.float64), groups)[0]
    data = data[data != 0]
    if len(data) < 2:  # either sign of one difference is as far from zero
        return 1.0
    found = _load_scipy().permutation_test(
        (data,),
        _distance_from_zero,
        permutation_type="samples",
        alternative="greater",  # of the distance: less noise than twice the smaller tail
        vectorized=True,
        n_resamples=resamples,  # all patterns where there are no more than that
        batch=_batch_size(len(data)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _distance_from_zero(data: Array, axis: int) -> Array:
    distances: Array = np.abs(data.mean(axis=axis))
    return distances


def compare_arms(records: Iterable[Record], *, seed: int = 0) -> list[Comparison]:
    """Compare every arm with memory off, on the rows and orders that both answered.

    A row's document orders are averaged first: they are no independent rows. Rows that ask about
    the same text are drawn together for the same reason.
    """
    records = list(records)
    scores = collect_scores(records)
    readings = {r["id"]: r.get("reading", r["id"]) for r in records}
    if REFERENCE not in scores:
        return []
    base = scores[REFERENCE]
    pairs = {arm: _pair_scores(rows, base, readings) for arm, rows in scores.items()}
    floor = 0.0
    if FLOOR in pairs:
        own, off, texts = pairs[FLOOR]
        noise = bootstrap_interval(own - off, groups=texts, seed=seed)
        floor = max(abs(noise.low), abs(noise.high))
    return [_compare_arm(arm, *pair, floor, seed) for arm, pair in pairs.items()]


def measure_order_spread(records: Iterable[Record], arm: str = REFERENCE) -> float | None:
    """Return the largest difference of an arm's mean score between two document orders.

    Only rows count that were answered in every order; None where there is but one order.
    """
    rows = list(collect_scores(records).get(arm, {}).values())
    orders = {order for row in rows for order in row}
    whole = [row for row in rows if row.keys() == orders]
    if len(orders) < 2 or not whole:
        return None
    means = [sum(row[order] for row in whole) / len(whole) for order in orders]
    return max(means) - min(means)


def decide_verdict(difference: Interval, floor: float, p_value: float) -> Verdict:
    """Call it better or worse only if interval, noise floor and random signs all speak for it."""
    if abs(difference.mean) <= floor or p_value > ALPHA:
        return "no evidence"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no evidence"


def _compare_arm(
    arm: str, own: Array, base: Array, groups: Sequence[str], floor: float, seed: int
) -> Comparison:
    difference = bootstrap_interval(own - base, groups=groups, seed=seed)
    p_value = sign_flip_test(own - base, groups=groups, seed=seed)
    return Comparison(
        arm=arm,
        rows=len(own),
        readings=len(set(groups)),
        score=bootstrap_interval(own, groups=groups, seed=seed),
        difference=difference,
        p_value=p_value,
        detectable=_detectable_difference(own - base, groups),
        floor=floor,
        verdict=decide_verdict(difference, floor, p_value),
    )


def _detectable_difference(differences: Array, groups: Sequence[str]) -> float:
    """Return the difference that a two-sided test at `ALPHA` finds with a power of 0.8."""
    sums, counts = _add_up(differences, groups)
    if len(sums) < 2:
        return float("nan")
    apart = sums - differences.mean() * counts
    error = apart.std(ddof=1) * len(sums) ** 0.5 / len(differences)
    normal = NormalDist()
    return float((normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(0.8)) * error)


def _pair_scores(
    own: Scores, base: Scores, readings: Mapping[str, str]
) -> tuple[Array, Array, list[str]]:
    """Return the mean scores by row of two arms, over the orders that both have, and its text."""
    mine, theirs, texts = [], [], []
    for row in sorted(own.keys() & base.keys()):
        orders = own[row].keys() & base[row].keys()
        if orders:
            mine.append(sum(own[row][o] for o in orders) / len(orders))
            theirs.append(sum(base[row][o] for o in orders) / len(orders))
            texts.append(readings[row])
    return np.array(mine), np.array(theirs), texts


def _add_up(values: Array, groups: Sequence[str] | None) -> tuple[Array, Array]:
    """Return the sum and the number of values of each group; without groups, each is its own."""
    if groups is None:
        return values, np.ones(len(values))
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(place, weights=values).astype(np.float64)
    return sums, np.bincount(place).astype(np.float64)


def _batch_size(rows: int) -> int:
    """Return draws at a time, so that no more than some ten million numbers are held."""
    return max(1, 10_000_000 // rows)


def _load_scipy() -> Any:  # noqa: ANN401 - a module without types
    """Return ``scipy.stats``.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    try:
        return importlib.import_module("scipy.stats")
    except ImportError as error:
        raise MissingExtraError("intervals and p values", "eval") from error
