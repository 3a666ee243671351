"""The fast solver: balanced k-means by exact assignments, with restarts where they are cheap.

1. Rows are projected onto their leading directions, which hold the differences between clusters;
   there several starts (greedy k-means++) each run a few rounds of Lloyd with exact balanced
   assignments, and the best one goes on until it settles.
2. In the full space the same rounds run until nothing changes.
3. Groups of rows change places between two clusters as long as that lowers the inertia. Lloyd
   cannot see these gains: it holds the means still, which follow their rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pace_integrations.experts.assignment import Floats, assign_balanced

_OVERSAMPLE = 16
_CANDIDATES = 16  # rows of each cluster that may change places at once


class Effort(NamedTuple):
    """Limits of the solver's search.

    Attributes:
        starts: Starts in the projected space.
        rounds: Rounds of Lloyd per start.
        settling: Most further rounds of the best start.
        refinements: Most rounds in the full space.
        sweeps: Most sweeps of swaps over pairs of clusters.
        passes: How often all of that is done, from other starts; the best is kept.
    """

    starts: int = 4
    rounds: int = 4
    settling: int = 20
    refinements: int = 30
    sweeps: int = 4
    passes: int = 1


class Rows(NamedTuple):
    """Rows to cluster.

    Attributes:
        x: The rows ``(n, features)``.
        norms: Their squared lengths ``(n,)``.
    """

    x: Tensor
    norms: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Rows:
        """Make rows with their lengths."""
        return cls(x, torch.linalg.vector_norm(x, dim=1).square())


def cluster_rows(
    x: Tensor,
    clusters: int,
    *,
    seed: int,
    tolerance: float,
    effort: Effort | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Cluster rows into groups of equal size.

    Args:
        x: Rows ``(n, features)`` in float32.
        clusters: Number of clusters; it divides n.
        seed: Seed of the starts.
        tolerance: Gain, as a share of the inertia, below which a phase ends.
        effort: How long to look.
        progress: Called with the steps done and in all.

    Returns:
        The cluster of each row ``(n,)``, on the rows' device.
    """
    effort = effort or _choose_effort(len(x), clusters)
    total = effort.passes * (effort.starts + 3)
    rows, generator = Rows.of(x), torch.Generator().manual_seed(seed)
    small = Rows.of(_project_rows(x, clusters, generator))
    done, results = 0, []
    for _ in range(effort.passes):
        result = None
        for result in _run_pass(rows, small, clusters, effort, tolerance, generator):  # noqa: B007
            done += 1
            if progress:
                progress(done, total)
        assert result is not None
        results.append(result)
    return min(results, key=lambda result: result.inertia).labels


def _choose_effort(rows: int, clusters: int) -> Effort:
    """Choose how often to solve: small problems have many poor optima and cost little."""
    return Effort(passes=min(max(20_000 // (rows * clusters), 1), 16))


def _run_pass(
    rows: Rows,
    small: Rows,
    clusters: int,
    effort: Effort,
    tolerance: float,
    generator: torch.Generator,
) -> Iterator[_Assignment]:
    """Run the three phases, yielding what is found after each step, at last the result."""
    best = None
    for _ in range(effort.starts):
        means = _choose_centers(small, clusters, generator)
        found = _run_lloyd(small, means, effort.rounds, tolerance)
        best = found if best is None or found.inertia < best.inertia else best
        yield found
    assert best is not None
    best = _refine_assignment(small, best, clusters, effort.settling, tolerance)
    yield best
    best = _refine_assignment(rows, best, clusters, effort.refinements, tolerance)
    yield best
    for _ in range(effort.sweeps):
        gain = _swap_rows(rows, best.labels, clusters)
        best = best._replace(inertia=best.inertia - gain)
        if gain <= tolerance * best.inertia:
            break
    yield best


def _project_rows(x: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Project rows on their leading directions ``(n, about K)``: a randomized range finder."""
    wanted = clusters + _OVERSAMPLE
    if min(x.shape) <= 2 * wanted:
        return x
    probe = torch.randn(x.shape[1], wanted, generator=generator).to(x)
    for _ in range(2):
        probe = torch.linalg.qr(x.T @ (x @ probe)).Q
    return x @ probe


def _choose_centers(rows: Rows, clusters: int, generator: torch.Generator) -> Tensor:
    """Choose centers by greedy k-means++: each is the best of a few drawn by squared distance."""
    x, tries = rows.x, 2 + int(math.log(clusters))
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    nearest = _squared_distances(rows, x[chosen])[:, 0]
    for _ in range(clusters - 1):
        edges = nearest.double().cumsum(0)
        draws = torch.rand(tries, generator=generator, dtype=torch.float64).to(x.device)
        picks = torch.searchsorted(edges, draws * edges[-1]).clamp(max=len(x) - 1)
        closer = torch.minimum(_squared_distances(rows, x[picks]), nearest[:, None])
        best = int(closer.sum(0).argmin())
        chosen.append(int(picks[best]))
        nearest = closer[:, best]
    return x[chosen]


def _squared_distances(rows: Rows, centers: Tensor) -> Tensor:
    """Return squared distances ``(n, K)``."""
    costs = torch.addmm(rows.norms[:, None], rows.x, centers.T, alpha=-2)
    return costs.add_(centers.square().sum(1)).clamp_(min=0)


class _Assignment(NamedTuple):
    """An assignment: labels ``(n,)``, the prices it came with ``(K,)`` and its inertia."""

    labels: Tensor
    prices: Floats | None
    inertia: float


def _refine_assignment(
    rows: Rows, found: _Assignment, clusters: int, rounds: int, tolerance: float
) -> _Assignment:
    """Run Lloyd from an assignment found before."""
    means = _cluster_means(rows.x, found.labels, clusters)
    return _run_lloyd(rows, means, rounds, tolerance, found.prices)


def _run_lloyd(
    rows: Rows, means: Tensor, rounds: int, tolerance: float, prices: Floats | None = None
) -> _Assignment:
    """Alternate exact balanced assignment and means; the inertia never rises."""
    clusters, size, energy = len(means), len(rows.x) // len(means), float(rows.norms.sum())
    labels, inertia = rows.norms, math.inf
    for _ in range(max(rounds, 1)):
        found, prices = assign_balanced(_squared_distances(rows, means).cpu().numpy(), prices)
        labels = torch.from_numpy(found).to(rows.x.device)
        means = _cluster_means(rows.x, labels, clusters)
        before, inertia = inertia, energy - float(means.square().sum()) * size
        if before - inertia <= tolerance * abs(inertia):
            break
    return _Assignment(labels, prices, inertia)


def _cluster_means(x: Tensor, labels: Tensor, clusters: int) -> Tensor:
    """Return the means of clusters of equal size ``(K, features)``."""
    sums = torch.zeros(clusters, x.shape[1], dtype=x.dtype, device=x.device)
    # A product with indicators sums in a fixed order, which index_add on a GPU does not.
    member = torch.nn.functional.one_hot(labels, clusters).to(x.dtype)
    return torch.addmm(sums, member.T, x).div_(len(x) // clusters)


def _swap_rows(rows: Rows, labels: Tensor, clusters: int) -> float:
    """Exchange rows between pairs of clusters, in place; return by how much inertia falls."""
    size = len(rows.x) // clusters
    means = _cluster_means(rows.x, labels, clusters)
    members = labels.argsort(stable=True).view(clusters, size)
    pairs = _promising_pairs(rows, members, means)
    gain = sum(_exchange_rows(rows.x, members, means, a, b) for a, b in pairs)
    labels[members.flatten()] = torch.arange(clusters, device=labels.device).repeat_interleave(size)
    return gain


def _promising_pairs(rows: Rows, members: Tensor, means: Tensor) -> list[tuple[int, int]]:
    """Return pairs of clusters that may gain by exchanging one row each, the best ones first."""
    clusters, size = members.shape
    pull = (rows.x @ means.T)[members.flatten()].view(clusters, size, clusters)
    own = torch.diagonal(pull, dim1=0, dim2=2).T
    best = (pull - own[:, :, None]).amax(1)
    # Two rows are never further apart than both are long: |x - y|^2 <= 2 (|x|^2 + |y|^2).
    reach = 4 * float(rows.norms.max()) / size
    score = (best + best.T + reach).triu(1).flatten()
    top, where = score.sort(descending=True, stable=True)
    return [divmod(pair, clusters) for pair in where[top > 0].tolist()]


def _exchange_rows(x: Tensor, members: Tensor, means: Tensor, a: int, b: int) -> float:
    """Swap the best number of rows of two clusters; return by how much inertia falls.

    With D the sum of the differences of the rows that change places and m the clusters' size, the
    inertia falls by ``2 (mean_a - mean_b) . D + 2 |D|^2 / m``.
    """
    size = members.shape[1]
    count = min(_CANDIDATES, size)
    toward = means[a] - means[b]
    leave = (x[members[a]] @ -toward).topk(count).indices
    come = (x[members[b]] @ toward).topk(count).indices
    moved = (x[members[b, come]] - x[members[a, leave]]).cumsum(0)
    gains = 2 * (moved @ toward) + 2 * moved.square().sum(1) / size
    best = int(gains.argmax())
    if gains[best] <= 1e-6:
        return 0.0
    leave, come = leave[: best + 1], come[: best + 1]
    leaving = members[a, leave].clone()
    members[a, leave] = members[b, come]
    members[b, come] = leaving
    means[a] += moved[best] / size
    means[b] -= moved[best] / size
    return float(gains[best])
