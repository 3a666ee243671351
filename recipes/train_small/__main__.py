"""Train the adapter, or go on training.

python -m recipes.train_small --data DATA --base BASE --work WORK --out ADAPTER
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from recipes.resumable_training import ResumableTraining
from recipes.train_nano import compose
from recipes.train_nano.prepare import prepare
from recipes.train_nano.sources import load_sources
from recipes.train_nano.values import Maker
from recipes.train_small.accelerated import BatchReader, BatchTrainer
from recipes.train_small.adapter import Adapter
from recipes.train_small.batches import BatchPlan, stream_batches
from recipes.train_small.chat import Chat, write_replies
from recipes.train_small.dense import Dense
from recipes.train_small.export import load_named, write_adapter
from recipes.train_small.hops import Hops
from recipes.train_small.index import LAYERS
from recipes.train_small.mixture import Mixture, Plain, Plan, Source
from recipes.train_small.model import Reader, load_base
from recipes.train_small.natural import Natural
from recipes.train_small.records import Records
from recipes.train_small.train import Schedule, Trainer
from recipes.train_small.written import Written

RANK, SCALE, STATE = 32, 2.0, "state.pt"
PROSE_CHARACTERS = 40_000_000
WINDOWED = 0.6  # share of natural contexts that are cut into short passages
PLAN = Plan(
    ways={"each": 0.46, "pages": 0.20, "full": 0.22, "first": 0.06, "chat": 0.06},
    sources={"natural": 0.62, "written": 0.06, "dense": 0.13, "records": 0.10, "hops": 0.09},
    refusals=0.5,
    verdicts=0.12,
)
# Of an accelerator's batches: documents are asked about at all lengths that the model reads.
LENGTHS = (1024, 2048, 1024, 1024, 4096, 1024, 1024, 2048, 1024, 8192, 1024, 1024, 2048, 1024, 1024)
FIRST = compose.Mix({"cite": 0.1, "pairs": 0.1, "facts": 0.2, "mixed": 0.6}, context=0.0)


def first_rows(prepared: Path, tokenizer: Tokenizer) -> Plain:
    """Return a maker of rows of pace-nano's mixture."""
    sources = load_sources(prepared)
    composer = compose.Composer(sources, tokenizer, 0)

    def make(rng: random.Random, length: int) -> tuple[list[int], list[float]]:
        maker = Maker(np.random.default_rng(rng.getrandbits(64)), sources.words)
        ids, weights = composer.row(maker, length, FIRST)
        while not weights.any():  # nothing is asked where the length cut all turns off
            ids, weights = composer.row(maker, length, FIRST)
        # Padding is told by its weight alone: the base has another token in its place.
        count = int(weights.nonzero()[0][-1]) + 1
        return ids[:count].tolist(), weights[:count].tolist()

    return make


def make_mixture(given: argparse.Namespace, base: PreTrainedModel, tokenizer: Tokenizer) -> Mixture:
    """Return the mixture; what it needs is prepared once in the folder of the work."""
    prepared, replies = given.work / "prepared", given.work / "chat.jsonl"
    prepare(given.data, prepared, characters=PROSE_CHARACTERS, vocabulary=2000)
    natural = Natural(given.data / "qa.xz")
    words = load_sources(prepared).words
    sources: Mapping[str, Source] = {
        "natural": lambda rng, count: natural.draw(rng, count, WINDOWED),
        "dense": Dense(words).draw,
        "records": Records(words).draw,
        "hops": Hops(words).draw,
        "written": Written().draw,
    }
    write_replies(base, given.base, replies, given.conversations)
    plain: Mapping[str, Plain] = {
        "first": first_rows(prepared, tokenizer),
        "chat": Chat(replies, tokenizer).draw,
    }
    return Mixture(tokenizer, sources, plain, PLAN, 0)


def make_trainer(
    given: argparse.Namespace,
    base: PreTrainedModel,
    adapter: Adapter,
    tokenizer: Tokenizer,
    mixture: Mixture,
) -> ResumableTraining:
    """Return the training at the step that its state has reached."""
    schedule = Schedule(given.first, given.steps, given.decay, given.rate, tokens=given.tokens)
    layers, state = tuple(given.layers), given.work / STATE
    if given.device == "cpu":
        trainer = Trainer(Reader(base, adapter, layers), tokenizer, mixture.row, schedule)
        trainer.resume(state)
        return trainer
    plan = BatchPlan(given.tokens, LENGTHS)
    batched = BatchTrainer(BatchReader(base, adapter, layers), schedule)
    batched.resume(state)
    steps = range(batched.step, given.steps)
    batched.feed(stream_batches(mixture.row, tokenizer, plan, steps, given.processes))
    return batched


def read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with p*.xz and qa.xz")
    parser.add_argument("--base", type=Path, required=True, help="converted base")
    parser.add_argument("--work", type=Path, required=True, help="folder of state and preparation")
    parser.add_argument("--start", type=Path, help="adapter_model.safetensors to start from")
    parser.add_argument("--first", type=int, default=0, help="step that the start counts as")
    parser.add_argument("--steps", type=int, default=2000, help="step at which training ends")
    parser.add_argument("--decay", type=int, default=150, help="last steps, of falling rate")
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--tokens", type=int, default=2560, help="tokens of a step")
    parser.add_argument("--out", type=Path, help="where the adapter is written at the end")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="elsewhere whole batches are read at once")
    parser.add_argument("--processes", type=int, default=0, help="that compose batches ahead")
    parser.add_argument("--conversations", type=int, default=192, help="replies of the base")
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS, help="layers of the index")
    parser.add_argument("--save-seconds", type=float, default=240.0)
    return parser.parse_args(given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on training."""
    given = read_arguments(arguments)
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    given.work.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(given.base / "tokenizer.json"))
    base = load_base(given.base).to(given.device)
    adapter = Adapter(base, RANK, SCALE).to(given.device)
    if given.start:
        adapter.load_named({n: t.float() for n, t in load_named(given.start).items()})
    mixture = make_mixture(given, base, tokenizer)
    trainer = make_trainer(given, base, adapter, tokenizer, mixture)
    trainer.run(given.work / STATE, given.save_seconds)
    if given.out:
        write_adapter(adapter.named(), given.out, tuple(given.layers))


if __name__ == "__main__":
    main()
