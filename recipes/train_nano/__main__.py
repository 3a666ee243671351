"""From raw data to a packaged checkpoint in one command, resumable at any moment.

python -m recipes.train_nano --data FOLDER --work .train/tiny --out CHECKPOINT
"""

import argparse
from pathlib import Path

import torch

from recipes.train_nano.export import export
from recipes.train_nano.model import SHAPES
from recipes.train_nano.plan import PLANS, shortened
from recipes.train_nano.prepare import prepare
from recipes.train_nano.train import SAVE_SECONDS, train

VOCABULARY = {"smoke": 400, "tiny": 8192, "small": 12288}
CHARACTERS = {"smoke": 20_000, "tiny": 60_000_000, "small": 400_000_000}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of p*.xz and qa.xz")
    parser.add_argument("--work", type=Path, required=True, help="prepared data and states")
    parser.add_argument("--out", type=Path, required=True, help="the packaged checkpoint")
    parser.add_argument("--size", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--steps", type=int, help="end here, the rate decayed before")
    parser.add_argument("--decay", type=int, help="steps of that decay")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes that compose rows")
    parser.add_argument("--save-seconds", type=float, default=SAVE_SECONDS)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Prepare, train and export."""
    given = arguments()
    torch.set_num_threads(given.threads)
    prepared = given.work / "prepared"
    prepare(
        given.data,
        prepared,
        characters=CHARACTERS[given.size],
        vocabulary=VOCABULARY[given.size],
    )
    shape, plan = SHAPES[given.size], shortened(PLANS[given.size], given.steps, given.decay)
    trainer = train(
        prepared,
        given.work,
        shape,
        plan,
        seed=given.seed,
        workers=given.workers,
        save_seconds=given.save_seconds,
    )
    export(trainer.state(), prepared, given.out, shape)


if __name__ == "__main__":
    main()
