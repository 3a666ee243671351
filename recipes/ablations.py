"""The paper's ablations on generated rows: layers, thresholds, negatives (Table 5), slots, steps.

    python -m recipes.ablations layers                 # with the embedded model
    python -m recipes.ablations thresholds --rows 20 --report out/thresholds
    python -m recipes.ablations negatives --model Qwen/Qwen2.5-7B-Instruct --lengths 8192

The same command goes on where an interrupted one stopped. The paper's own figures are printed
beside: they are LongBench's multi-document scores in percent of a model with Activation Beacon, so
only signs and sizes of differences can be held against ours.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pace_integrations import MemoryConfig
from pace_integrations.evaluation.arm_runner import ArmRunner, RunSettings
from pace_integrations.evaluation.arms import Arm, choose_arms
from pace_integrations.evaluation.report import write_report
from pace_integrations.evaluation.runner import Progress, run_arms
from pace_integrations.evaluation.statistics import compare_arms
from pace_integrations.evaluation.tasks import Row, TaskSpec, generate_rows
from pace_integrations.feed_forward import default_layers

# PaceLLM, arXiv 2506.17310, Table 5: its baseline (its clustering alone, which changes nothing),
# its default (layers 13 and 27 of 28, 0.7 and 0.3), and the best cells, chosen for each task.
PUBLISHED = {"baseline": 44.58, "default": 44.68, "best cells, task by task": 46.55}
THRESHOLDS = ((0.1, 0.5), (0.2, 0.6), (0.3, 0.7), (0.25, 0.75), (0.4, 0.8), (0.5, 0.9))
SLOTS, STEPS = (50, 100, 200, 500), (128, 256, 512, 1024, 2048)
NEGATIVES = ((0.0, 2), (0.05, 2), (0.1, 1), (0.1, 2), (0.1, 5), (0.2, 2), (0.5, 2))


def vary_layers(depth: int) -> list[Arm]:
    """Return banks in single layers, in the paper's two, in the first and last half, and in all."""
    half = depth // 2
    sets = [(i,) for i in range(depth)] if depth <= 8 else [(i * depth // 8,) for i in range(8)]
    sets += [default_layers(depth), tuple(range(half)), tuple(range(half, depth))]
    chosen = dict.fromkeys([*sets, tuple(range(depth))])
    return [
        Arm(f"layers {','.join(map(str, s))}", "banks in 0-based layers", MemoryConfig(layers=s))
        for s in chosen
    ]


def vary_thresholds(depth: int) -> list[Arm]:
    """Return arms of different thresholds."""
    return [
        Arm(f"{low} {high}", "thresholds", MemoryConfig(theta_low=low, theta_high=high))
        for low, high in THRESHOLDS
    ]


def vary_negatives(depth: int) -> list[Arm]:
    """Return weights and numbers of the least similar slots; weight 0 is without them."""
    return [
        Arm(
            f"weight {weight}, {count} slots",
            "least similar slots",
            MemoryConfig(negative_weight=weight, bottom_k=count),
        )
        for weight, count in NEGATIVES
    ]


def vary_slots(depth: int) -> list[Arm]:
    """Return arms of different capacities."""
    return [Arm(f"{n} slots", "slots of a bank", MemoryConfig(slots=n)) for n in SLOTS]


def vary_steps(depth: int) -> list[Arm]:
    """Return arms that store different numbers of tokens together."""
    return [Arm(f"step {n}", "tokens of a step", MemoryConfig(step=n)) for n in STEPS]


ABLATIONS = {
    "layers": vary_layers,
    "thresholds": vary_thresholds,
    "negatives": vary_negatives,
    "slots": vary_slots,
    "steps": vary_steps,
}


def ablate(
    kind: str,
    folder: Path,
    *,
    model: str | None,
    tasks: Sequence[str],
    lengths: Sequence[int],
    rows: int,
    orders: int,
    command: str | None = None,
) -> list[str]:
    """Run an ablation, write its report, and return the lines to print."""
    setting = RunSettings(model=model)
    reader = ArmRunner(Arm("off", "memory off"), setting)
    made: list[Row] = [
        row
        for task in tasks
        for length in lengths
        for row in generate_rows(task, TaskSpec(length, rows, count=reader.pace.count_tokens))
    ]
    depth = int(reader.network.config.get_text_config().num_hidden_layers)
    reader.close()
    arms = [*choose_arms(["off"]), *ABLATIONS[kind](depth), *choose_arms(["permuted"])[1:]]
    records = run_arms(made, arms, folder, setting=setting, orders=orders, show=_show)
    files = write_report(folder, command=command)
    lines = [f"{'arm':32} score   less off (95 % interval)     verdict"]
    for c in compare_arms(records):
        d = c.difference
        span = f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
        lines.append(f"{c.arm:32} {c.score.mean:.3f}   {span:28} {c.verdict}")
    said = ", ".join(f"{name} {value}" for name, value in PUBLISHED.items())
    return [*lines, f"the paper, in percent on LongBench: {said}", *map(str, files)]


def _show(progress: Progress) -> None:
    if progress.done % 50 == 0:
        left = progress.seconds_left or 0.0
        print(f"{progress.done} of {progress.total}, {left:.0f} s left", flush=True)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=ABLATIONS)
    parser.add_argument("--model", help="name or path; default: the embedded model")
    parser.add_argument("--tasks", nargs="+", default=["mdqa", "niah_multikey"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024])
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    lines = ablate(
        given.kind,
        given.report or Path(f"ablation-{given.kind}"),
        model=given.model,
        tasks=given.tasks,
        lengths=given.lengths,
        rows=given.rows,
        orders=given.orders,
        command=shlex.join(["python", "-m", "recipes.ablations", *sys.argv[1:]]),
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
