"""The exact balanced assignment: every row to one cluster, every cluster full, least total cost.

A transportation problem with few sinks. Each cluster first gets a price, near the one at which it
is full when every row takes the cheapest cluster; what is then still over or under a cluster's
size is moved along shortest paths in the graph of clusters (successive shortest paths, whose
every step keeps the assignment optimal for its sizes). With good prices few rows are left to
move, so that the work is a few passes over the costs.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_ROUNDS = 16
_DAMPING = 0.5  # every price moves at once, each as if the others stood still


def assign_balanced(costs: Floats, prices: Floats | None = None) -> tuple[Ints, Floats]:
    """Assign rows to clusters of equal size at the least total cost.

    Args:
        costs: Cost of each row in each cluster ``(n, K)``; K divides n.
        prices: Prices ``(K,)`` of a similar problem, which save time; they do not change the cost.

    Returns:
        The cluster of each row ``(n,)``, and prices for the next problem ``(K,)``.
    """
    rows, clusters = costs.shape
    if clusters == 1:
        return np.zeros(rows, dtype=np.int64), np.zeros(1, dtype=np.float32)
    start = np.zeros(clusters, dtype=np.float32) if prices is None else prices
    prices = _find_prices(np.ascontiguousarray(costs.T), start)
    scale = float(np.abs(costs).max()) or 1.0
    flow = _ClusterFlow(
        costs.astype(np.float64) / scale, prices.astype(np.float64) / scale, rows // clusters
    )
    flow.balance()
    return flow.labels, prices


def _find_prices(costs: Floats, prices: Floats) -> Floats:
    """Find prices near the balanced ones, for costs ``(K, n)``; the best of a few rounds."""
    clusters, rows = costs.shape
    size, best, least = rows // clusters, prices, rows
    for _ in range(_ROUNDS):
        offers = costs + prices[:, None]
        taken = offers.argmin(axis=0)
        excess = int((np.bincount(taken, minlength=clusters) - size).clip(min=0).sum())
        if excess < least:
            best, least = prices, excess
        if excess <= rows // 256:
            break
        prices = prices + _DAMPING * _price_raises(offers, taken, size)
    centered: Floats = best - best.mean()
    return centered


def _price_raises(offers: Floats, taken: Ints, size: int) -> Floats:
    """Return how far each cluster's price may rise until only `size` rows still take it ``(K,)``.

    Negative where it must fall. The raise lies between the row that stays and the one that goes.
    """
    columns = np.arange(offers.shape[1])
    first = offers[taken, columns]
    others = offers.copy()
    others[taken, columns] = np.inf
    # What a cluster's offer may rise before a row leaves it; negative: must fall before it comes.
    slack = offers - first
    slack[taken, columns] = first - others.min(axis=0)
    parted = np.partition(slack, size, axis=1)
    raises: Floats = -(parted[:, :size].max(axis=1) + parted[:, size]) / 2
    return raises


class _ClusterFlow:
    """Successive shortest paths over clusters.

    Moving a row from cluster a to b costs what it pays more there; the cheapest row of a for each
    b makes a graph of K nodes, in which the cheapest path from an overfull cluster to one with
    room is the best next change. Only the rows of the matrix on the path need to be renewed.
    Costs are at most 1 in size, so that rounding stays below a known tolerance.

    Attributes:
        labels: The cluster of each row ``(n,)``.
    """

    def __init__(self, costs: NDArray[np.float64], prices: NDArray[np.float64], size: int) -> None:
        self._costs = costs
        self.labels: Ints = (costs + prices).argmin(axis=1)
        clusters = costs.shape[1]
        self._excess = np.bincount(self.labels, minlength=clusters) - size
        self._steps = np.full((clusters, clusters), np.inf)
        self._movers = np.zeros((clusters, clusters), dtype=np.int64)

    def balance(self) -> None:
        """Move rows until every cluster is full."""
        if not self._excess.any():
            return
        for cluster in range(len(self._excess)):
            self._update_edges(cluster)
        while self._excess.any():
            self._move_rows()

    def _update_edges(self, cluster: int) -> None:
        """Find the cheapest row of a cluster to give to each other one."""
        members = np.flatnonzero(self.labels == cluster)
        if len(members) == 0:
            self._steps[cluster] = np.inf
            return
        extra = self._costs[members] - self._costs[members, cluster][:, None]
        best = extra.argmin(axis=0)
        self._movers[cluster] = members[best]
        self._steps[cluster] = extra[best, np.arange(extra.shape[1])]
        self._steps[cluster, cluster] = np.inf

    def _move_rows(self) -> None:
        """Move one row along each edge of the cheapest path from too many to too few."""
        path = self._cheapest_path()
        movers = [self._movers[a, b] for a, b in pairwise(path)]
        self.labels[movers] = path[1:]
        self._excess[path[0]] -= 1
        self._excess[path[-1]] += 1
        for cluster in path:
            self._update_edges(cluster)

    def _cheapest_path(self) -> list[int]:
        """Find the cheapest path, by Bellman and Ford: moves may save cost, cycles never do."""
        clusters = len(self._excess)
        distance = np.where(self._excess > 0, 0.0, np.inf)
        before = np.full(clusters, -1)
        for _ in range(clusters):
            through = distance[:, None] + self._steps
            origin = through.argmin(axis=0)
            reached = through[origin, np.arange(clusters)]
            # A tolerance, so that rounding cannot make a cycle that seems to gain.
            better = reached < distance - 1e-12
            if not better.any():
                break
            distance[better], before[better] = reached[better], origin[better]
        end = int(np.where(self._excess < 0, distance, np.inf).argmin())
        path = [end]
        while before[path[-1]] >= 0:
            path.append(int(before[path[-1]]))
        return path[::-1]
