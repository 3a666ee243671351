"""Equal-size clustering of neurons by their weights: the cortical experts of PaceLLM."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pace_integrations._renamed import keep_renamed
from pace_integrations.config import Solver
from pace_integrations.errors import ConfigError, MissingExtraError
from pace_integrations.experts.balanced_kmeans import cluster_rows


def cluster_neurons(
    weight: Tensor,
    experts: int,
    solver: Solver = "fast",
    seed: int = 0,
    *,
    tolerance: float = 1e-6,
    normalize: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Divide neurons into experts of equal size whose weights are alike (balanced k-means).

    Args:
        weight: One row per neuron ``(d_ff, features)``: the weight of the gate projection, of the
            first projection where there is no gate, or any other description of the neurons.
        experts: Number of experts; it divides d_ff.
        solver: ``"fast"`` is ours; ``"constrained"`` is the k-means-constrained package with its
            ten restarts, which the paper's authors use.
        seed: The same seed gives the same result on the same machine.
        tolerance: Gain, as a share of the inertia, at which the fast solver stops.
        normalize: Whether rows are brought to length 1 first, as in the authors' code: neurons
            belong together that point the same way.
        progress: Called with the steps done and in all, by the fast solver.

    Returns:
        The expert of each neuron ``(d_ff,)`` in int64 on the weight's device, 0 to experts - 1.

    Raises:
        ConfigError: The number of experts does not divide d_ff (the message lists numbers that
            do), the solver is unknown, or the weight is not a finite matrix.
        MissingExtraError: The constrained solver was asked for without the ``experts`` extra.
    """
    rows = _prepare_rows(weight, normalize)
    check_experts(len(rows), experts)
    if experts == len(rows):  # each neuron is an expert: nothing to choose
        labels = torch.arange(experts)
    elif solver == "constrained":
        labels = _solve_constrained(rows, experts, seed)
    elif solver == "fast":
        with torch.inference_mode():
            labels = cluster_rows(rows, experts, seed=seed, tolerance=tolerance, progress=progress)
    else:
        raise ConfigError(f"solver must be 'fast' or 'constrained', not {solver!r}")
    return labels.to(weight.device, copy=True)


def measure_inertia(weight: Tensor, labels: Tensor, *, normalize: bool = True) -> float:
    """Sum the squared distances of the rows ``(d_ff, features)`` to their experts' means.

    Args:
        weight: One row per neuron.
        labels: The expert of each neuron ``(d_ff,)``.
        normalize: Whether rows are brought to length 1 first, as in `cluster_neurons`.
    """
    rows = _prepare_rows(weight, normalize).double()
    return sum(
        float((group - group.mean(0)).square().sum())
        for group in (rows[labels == label] for label in labels.unique())
    )


def check_experts(neurons: int, experts: int) -> None:
    """Check that experts of equal size are possible.

    Raises:
        ConfigError: They are not; the message lists the numbers that are.
    """
    if 1 <= experts <= neurons and neurons % experts == 0:
        return
    divisors = [d for d in range(1, neurons + 1) if neurons % d == 0]
    raise ConfigError(
        f"{neurons} neurons cannot be divided into {experts} experts of equal size; "
        f"choose one of {', '.join(map(str, divisors))}"
    )


def _prepare_rows(weight: Tensor, normalize: bool) -> Tensor:
    if weight.ndim != 2 or not weight.is_floating_point() or weight.numel() == 0:
        raise ConfigError(
            f"the weight must be a matrix of floats with one row per neuron, not {weight.dtype} "
            f"of shape {tuple(weight.shape)}"
        )
    # Devices other than these two lack the double precision that the solver draws with.
    near = weight.device.type in ("cpu", "cuda")
    rows = (weight if near else weight.cpu()).detach().float()
    if not rows.isfinite().all():
        raise ConfigError("the weight holds values that are not finite; check the checkpoint")
    return torch.nn.functional.normalize(rows, dim=1) if normalize else rows


def _solve_constrained(rows: Tensor, experts: int, seed: int) -> Tensor:
    """Cluster by the solver of the paper, with its defaults."""
    if importlib.util.find_spec("k_means_constrained") is None:
        raise MissingExtraError("solver='constrained'", "experts")
    from k_means_constrained import KMeansConstrained

    size = len(rows) // experts
    solver: Any = KMeansConstrained(
        n_clusters=experts, size_min=size, size_max=size, random_state=seed
    )
    return torch.from_numpy(solver.fit(rows.cpu().numpy()).labels_.astype("int64"))


__getattr__ = keep_renamed(__name__)
