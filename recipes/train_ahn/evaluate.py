"""Measure an AHN on texts that it was not trained on.

python -m recipes.train_ahn.evaluate --model pace-small --ahn AHN --data HELD_OUT.xz --out FILE

Every text is read with full attention, with sinks and window alone, with the AHN, and with the AHN
whose state holds what left the window of another text: a network can help without remembering, and
this tells how much. (An AHN into which nothing is written is the bare window bit for bit, which a
test holds.) Losses and divergences count behind the lossless tokens. Intervals are over texts.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pace_integrations.ahn import AHNConfig, ArtificialHippocampus, load_weights
from pace_integrations.evaluation.statistics import bootstrap_interval, sign_flip_test
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.model.loading import LoadSettings, load_model
from recipes.train_ahn.objective import compute_kl
from recipes.train_ahn.student import run_student, run_teacher
from recipes.train_ahn.texts import load_texts

BASE, SWAPPED = "sinks + window", "AHN, another text's state"
ARMS = ("full attention", BASE, "AHN", SWAPPED)
# Tokens, tokens of another text, and the first position, to logits from there on.
Run = Callable[[Tensor, Tensor, int], Tensor]


class SwappedState(ArtificialHippocampus):
    """A network whose state takes in the tokens of the next row instead of its own."""

    def chunk(  # type: ignore[override]
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        x: Tensor,
        *state: Tensor | None,
        **options: Any,  # noqa: ANN401 - those of the base class
    ) -> tuple[Tensor, Tensor]:
        """Take in what leaves the next row's window (see `ArtificialHippocampus.chunk`)."""
        gates = options.pop("gates", None) or self.fn.compute_gates(x)
        k, v, decay, write = (tensor.roll(1, dims=0) for tensor in (k, v, *gates))
        return super().chunk(q, k, v, x, *state, gates=(decay, write), **options)


def make_arms(model: PreTrainedModel, ahn: Path, config: AHNConfig) -> dict[str, Run]:
    """Return how each arm reads."""
    weights = load_weights(ahn)
    config = AHNConfig(weights.config.kind, config.sinks, config.window)
    trained = HippocampusPatch(model, config)
    weights.load_into(trained.networks)
    swapped = HippocampusPatch(model, config)
    weights.load_into(swapped.networks)
    for network in swapped.networks.values():
        network.__class__ = SwappedState
    bare = HippocampusPatch(model, config, bare=True)

    def read(patch: HippocampusPatch) -> Run:
        return lambda ids, _, first: run_student(model, patch, config, ids, first).logits

    def read_swapped(ids: Tensor, other: Tensor, first: int) -> Tensor:
        return run_student(model, swapped, config, torch.cat([ids, other]), first).logits

    full: Run = lambda ids, _, first: run_teacher(model, ids, first).logits  # noqa: E731
    return dict(zip(ARMS, (full, read(bare), read(trained), read_swapped), strict=True))


@torch.no_grad()
def measure_text(
    arms: Mapping[str, Run], ids: Tensor, other: Tensor, first: int
) -> dict[str, dict[str, float]]:
    """Return loss and divergence from full attention of each arm on a text ``(1, tokens)``."""
    teacher = arms[ARMS[0]](ids, other, first)[:-1]
    told = {}
    for name, run in arms.items():
        logits = teacher if name == ARMS[0] else run(ids, other, first)[:-1]
        loss = torch.nn.functional.cross_entropy(logits, ids[0, first + 1 :])
        told[name] = {"loss": float(loss), "kl": float(compute_kl(logits, teacher))}
    return told


def draw_needles(
    texts: Sequence[Tensor], tokenizer: PreTrainedTokenizerBase, lossless: int, seed: int
) -> Iterator[tuple[str, Tensor, int]]:
    """Yield texts with a number hidden inside or outside the window, and asked for at the end.

    Yields:
        ``"inside"`` or ``"outside"``, token ids, and where the number's tokens begin.
    """
    rng = random.Random(seed)

    def encode(text: str) -> Tensor:
        return tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]

    for text in texts:
        number = "".join(rng.choices("0123456789", k=5))
        fact, asked = encode(f" The pass key is {number}. Remember it."), encode(" The pass key is")
        answer = encode(f" {number}")
        body = text[:, : 3 * lossless]
        for place, back in (("inside", lossless // 3), ("outside", 2 * lossless)):
            cut = body.shape[1] - back
            ids = torch.cat([body[:, :cut], fact, body[:, cut:], asked, answer], dim=1)
            yield place, ids, ids.shape[1] - answer.shape[1]


@torch.no_grad()
def measure_needles(
    arms: Mapping[str, Run], needles: Iterator[tuple[str, Tensor, int]]
) -> list[dict[str, object]]:
    """Return, for each needle and arm, how unlikely the number was, in nats per token."""
    rows = []
    for place, ids, first in needles:
        for name, run in arms.items():
            logits = run(ids, ids.flip(1), first - 1)[:-1]
            loss = torch.nn.functional.cross_entropy(logits, ids[0, first:])
            rows.append({"place": place, "arm": name, "loss": float(loss)})
    return rows


def compare_texts(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, object]:
    """Return mean and interval of each arm, and of its difference from other arms, text by text."""
    told: dict[str, object] = {}
    for name in ARMS:
        for kind in ("loss", "kl"):
            own = [row[name][kind] for row in rows]
            entry: dict[str, object] = {"mean": asdict(bootstrap_interval(own))}
            for other in (BASE, SWAPPED):
                less = [row[name][kind] - row[other][kind] for row in rows]
                interval = asdict(bootstrap_interval(less))
                entry[f"less {other}"] = {**interval, "chance": sign_flip_test(less)}
            told[f"{name}: {kind}"] = entry
    return told


def read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name or folder, as for Pace.load")
    parser.add_argument("--adapter", help="adapter in PEFT's format, merged into the model")
    parser.add_argument("--ahn", type=Path, required=True, help="folder of the trained AHN")
    parser.add_argument(
        "--data", type=Path, required=True, help="documents, or xz file of JSON lines {text}"
    )
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--length", type=int, default=1024, help="tokens of a text")
    parser.add_argument("--sinks", type=int, default=16)
    parser.add_argument("--window", type=int, default=112)
    parser.add_argument("--needles", type=int, default=0, help="texts that hide a number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="such as cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file with everything")
    return parser.parse_args(given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure an AHN."""
    given = read_arguments(arguments)
    torch.set_num_threads(given.threads)
    settings = LoadSettings(adapter=given.adapter, dtype=given.dtype, device=given.device)
    loaded = load_model(given.model, settings)
    config = AHNConfig("gdn", given.sinks, given.window)
    arms = make_arms(loaded.model.requires_grad_(False), given.ahn, config)
    texts = load_texts(
        given.data, loaded.tokenizer, length=given.length, count=given.texts, cache=None
    )
    rows, drawn = [], []
    for i, part in enumerate(texts.parts):
        start = random.Random(f"{given.seed}-{i}").randrange(len(part) - given.length + 1)
        ids = torch.from_numpy(part[start : start + given.length]).long()[None]
        drawn.append(ids.to(loaded.model.device))
    for i, ids in enumerate(drawn):
        rows.append(measure_text(arms, ids, drawn[i - 1], config.lossless))
        told = {"config": asdict(config), "rows": rows, "arms": compare_texts(rows)}
        if given.out:  # what there is so far outlives a kill
            given.out.write_text(json.dumps(told, indent=1))
    hidden = [torch.from_numpy(part).long()[None] for part in texts.parts[: given.needles]]
    needles = draw_needles(hidden, loaded.tokenizer, config.lossless, given.seed)
    told["needles"] = measure_needles(
        arms, ((place, ids.to(loaded.model.device), at) for place, ids, at in needles)
    )
    if given.out:
        given.out.write_text(json.dumps(told, indent=1))
    print(json.dumps({"texts": len(rows), **told["arms"]}, indent=1))


if __name__ == "__main__":
    main()
