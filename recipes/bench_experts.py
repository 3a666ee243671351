"""Time and inertia of the two clustering solvers, on weights that have groups to find.

    python -m recipes.bench_experts                      # all three shapes, about eight minutes
    python -m recipes.bench_experts --shapes 1408x512/16 4864x896/64

Times are CPU time of this process on one thread, so that other work on the machine does not
stretch them. Both solvers get the same rows and the constrained one its defaults (ten restarts).
The weights are synthetic: a mixture of Gaussians with groups of unequal sizes, more of them than
experts, rows of unequal lengths, and three quarters noise, so that no answer is obvious.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from pace_integrations.experts import cluster_neurons, measure_inertia

SHAPES = ("1408x512/16", "4864x896/64", "18944x3584/64")


def structured(neurons: int, features: int, groups: int, seed: int = 0) -> Tensor:
    """Return weights ``(neurons, features)`` of a mixture of Gaussians.

    Args:
        neurons: Rows.
        features: Columns.
        groups: Gaussians; the largest is about five times as likely as the smallest.
        seed: Seed.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    likely = torch.rand(groups, generator=generator) + 0.25
    group = torch.multinomial(likely, neurons, replacement=True, generator=generator)
    centers = normal(groups, features) + 0.5 * normal(1, features)
    lengths = torch.exp(0.3 * normal(neurons, 1))
    noise = normal(neurons, features)
    return lengths * (0.25**0.5 * centers[group] + 0.75**0.5 * noise) * features**-0.5


def measure(shape: str, seed: int = 0) -> dict[str, float | bool]:
    """Return CPU seconds and inertia of both solvers at ``"NEURONSxFEATURES/EXPERTS"``."""
    torch.set_num_threads(1)
    size, experts = shape.split("/")[0], int(shape.split("/")[1])
    neurons, features = map(int, size.split("x"))
    weight = structured(neurons, features, experts * 5 // 4)
    cluster_neurons(weight[: 2 * experts], experts)  # imports and buffers
    result: dict[str, float | bool] = {}
    labels = {}
    for solver in ("fast", "constrained"):
        start = time.process_time()
        labels[solver] = cluster_neurons(weight, experts, solver=solver, seed=seed)
        result[f"{solver}_seconds"] = time.process_time() - start
        result[f"{solver}_inertia"] = measure_inertia(weight, labels[solver])
        counts = labels[solver].bincount(minlength=experts)
        result[f"{solver}_equal"] = bool((counts == neurons // experts).all())
    again = cluster_neurons(weight, experts, seed=seed)
    result["repeatable"] = bool(torch.equal(again, labels["fast"]))
    result["times_faster"] = result["constrained_seconds"] / result["fast_seconds"]
    result["inertia_ratio"] = result["fast_inertia"] / result["constrained_inertia"]
    result["random_inertia"] = measure_inertia(weight, torch.arange(neurons) % experts)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="NEURONSxFEATURES/EXPERTS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object per shape")
    given = parser.parse_args(arguments)
    if not given.json:
        print("shape | fast s, inertia | constrained s, inertia | times faster | inertia ratio")
    for shape in given.shapes:
        r = measure(shape, given.seed)
        if given.json:
            print(json.dumps({"shape": shape, **r}), flush=True)
            continue
        print(
            f"{shape} | {r['fast_seconds']:.2f}, {r['fast_inertia']:.2f} | "
            f"{r['constrained_seconds']:.2f}, {r['constrained_inertia']:.2f} | "
            f"{r['times_faster']:.1f}x | {r['inertia_ratio']:.5f} "
            f"(any division: {r['random_inertia']:.2f}; equal sizes: {r['fast_equal']}; "
            f"repeatable: {r['repeatable']})",
            flush=True,
        )


if __name__ == "__main__":
    main()
