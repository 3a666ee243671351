"""Train an AHN for a model, or go on training.

python -m recipes.train_ahn --model pace-small --data TEXTS.xz --work .train/ahn --out AHN
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from pace_integrations.ahn import KINDS, AHNConfig, load_weights, save_weights
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.model.loading import LoadSettings, load_model
from recipes.train_ahn.objective import Weights
from recipes.train_ahn.texts import load_texts
from recipes.train_ahn.train import Plan, Trainer


def read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name or folder, as for Pace.load")
    parser.add_argument("--adapter", help="adapter in PEFT's format, merged into the model")
    parser.add_argument(
        "--data", type=Path, required=True, help="documents, or xz file of JSON lines {text}"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the training's state")
    parser.add_argument("--out", type=Path, help="where the trained AHN is written")
    parser.add_argument("--kind", choices=list(KINDS), default="gdn")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--length", type=int, default=512, help="tokens of a sequence")
    parser.add_argument("--rows", type=int, default=1, help="sequences of a step")
    parser.add_argument("--lossless", type=int, nargs=2, default=(48, 192), metavar="TOKENS")
    parser.add_argument("--texts", type=int, default=2000, help="most texts")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--relations", type=float, default=0.0, help="experimental: their weight")
    parser.add_argument("--outputs", type=float, default=0.0, help="weight of attention outputs")
    parser.add_argument(
        "--silence", type=float, default=0.0, help="weight: no change by the state of another text"
    )
    parser.add_argument("--start", type=Path, help="folder of an AHN to go on from")
    parser.add_argument("--sinks", type=int, default=16, help="written into the configuration")
    parser.add_argument("--window", type=int, default=1008, help="written into the configuration")
    parser.add_argument("--device", help="such as cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-seconds", type=float, default=120.0)
    return parser.parse_args(given)


def make_trainer(given: argparse.Namespace) -> Trainer:
    """Return a training as the command line says, at its first step."""
    settings = LoadSettings(adapter=given.adapter, dtype=given.dtype, device=given.device)
    loaded = load_model(given.model, settings)
    loaded.model.requires_grad_(False)
    torch.manual_seed(given.seed)  # the first weights
    patch = HippocampusPatch(loaded.model, AHNConfig(given.kind, given.sinks, given.window))
    if given.start:
        load_weights(given.start).load_into(patch.networks)
    texts = load_texts(
        given.data, loaded.tokenizer, length=given.length, count=given.texts, cache=given.work
    )
    plan = Plan(
        given.steps,
        given.length,
        given.rows,
        tuple(given.lossless),
        rate=given.rate,
        seed=given.seed,
    )
    weights = Weights(relations=given.relations, outputs=given.outputs, silence=given.silence)
    return Trainer(loaded.model, patch, texts, plan, weights)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on training."""
    given = read_arguments(arguments)
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    trainer, state = make_trainer(given), given.work / "state.pt"
    trainer.resume(state)
    trainer.run(state, given.save_seconds)
    if given.out:
        facts = {"steps": trainer.step, "length": given.length, "model": given.model}
        save_weights(
            given.out,
            trainer.patch.networks,
            trainer.patch.config,
            facts={"trained": facts},
            dtype=torch.bfloat16,
        )


if __name__ == "__main__":
    main()
