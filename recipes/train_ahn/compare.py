"""Compare objectives: equal steps and sequences, several seeds, held-out divergence.

python -m recipes.train_ahn.compare --model pace-nano --data TEXTS.xz --held HELD_OUT.xz --out FILE
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from pace_integrations.ahn import AHNConfig
from pace_integrations.evaluation.statistics import bootstrap_interval
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.model.loading import LoadSettings, load_model
from recipes.train_ahn.evaluate import measure_text
from recipes.train_ahn.objective import Weights
from recipes.train_ahn.student import run_student, run_teacher
from recipes.train_ahn.texts import load_texts
from recipes.train_ahn.train import Plan, Trainer


def list_objectives(
    relations: Sequence[float], outputs: Sequence[float]
) -> dict[str, Weights | None]:
    """Return objectives by name; None is the network as it was before training."""
    found: dict[str, Weights | None] = {"none": None, "KL": Weights()}
    found |= {f"KL + {w:g} relations": Weights(relations=w) for w in relations}
    return found | {f"KL + {w:g} outputs": Weights(outputs=w) for w in outputs}


def read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pace-nano")
    parser.add_argument(
        "--data", type=Path, required=True, help="documents, or xz file of JSON lines {text}"
    )
    parser.add_argument("--held", type=Path, required=True, help="the same, for measuring")
    parser.add_argument("--work", type=Path, help="folder where tokens are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--length", type=int, default=384, help="tokens of a sequence")
    parser.add_argument("--texts", type=int, default=40, help="held-out texts")
    parser.add_argument("--sinks", type=int, default=8)
    parser.add_argument("--window", type=int, default=56)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--relations", type=float, nargs="*", default=(0.1, 2.0), help="weights")
    parser.add_argument("--outputs", type=float, nargs="*", default=(1.0,), help="weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file with everything")
    return parser.parse_args(given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and measure every objective with every seed."""
    given = read_arguments(arguments)
    torch.set_num_threads(given.threads)
    loaded = load_model(given.model, LoadSettings(dtype="float32"))
    model, config = loaded.model.requires_grad_(False), AHNConfig("gdn", given.sinks, given.window)
    plan = Plan(given.steps, given.length, lossless=(48, 128), rate=given.rate)
    texts, held = (
        load_texts(path, loaded.tokenizer, length=given.length, count=count, cache=given.work)
        for path, count in ((given.data, 1000), (given.held, given.texts))
    )
    objectives = list_objectives(given.relations, given.outputs)
    rows: dict[str, list[float]] = {name: [] for name in objectives}
    for seed in range(given.seeds):
        for name, weights in objectives.items():
            torch.manual_seed(seed)
            patch = HippocampusPatch(model, config)
            if weights is not None:
                trainer = Trainer(model, patch, texts, replace(plan, seed=seed), weights)
                for _ in range(given.steps):
                    trainer.update()
            arms = {
                "full attention": lambda ids, _, first: run_teacher(model, ids, first).logits,
                name: lambda ids, _, first, own=patch: (
                    run_student(model, own, config, ids, first).logits
                ),
            }
            for part in held.parts:
                ids = torch.from_numpy(part[: given.length]).long()[None].to(model.device)
                rows[name].append(measure_text(arms, ids, ids, config.lossless)[name]["kl"])
            patch.remove()
            print(seed, name, sum(rows[name][-len(held.parts) :]) / len(held.parts), flush=True)
    # A text is a row: its seeds are averaged first, they are no independent rows.
    means = {n: torch.tensor(r).view(given.seeds, -1).mean(0).tolist() for n, r in rows.items()}
    told = {
        name: {
            "kl": asdict(bootstrap_interval(own)),
            "less KL alone": asdict(
                bootstrap_interval([a - b for a, b in zip(own, means["KL"], strict=True)])
            ),
            "by seed": torch.tensor(rows[name]).view(given.seeds, -1).mean(1).tolist(),
        }
        for name, own in means.items()
    }
    if given.out:
        given.out.write_text(json.dumps({"rows": rows, "objectives": told}, indent=1))
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
