"""Diversity and age of the banks over a long text, rule by rule.

    python -m recipes.memory_diversity --model MODEL --text FILE [--tokens 102400]

The text is read as one sequence of windows of 1024 tokens without a cache, so that its length does
not depend on the model's context. Each rule sees the same activations. For the keys of each bank:
effective rank (exponential of the entropy of the squared singular values), mean cosine of two
keys, and the age of the slots in tokens; the same figures for as many random tokens of the text,
as the mean of twenty draws. Files that end in .xz hold JSON lines with a field ``text``.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoModelForCausalLM, AutoTokenizer

from pace_integrations.config import MemoryConfig, Rule
from pace_integrations.feed_forward import find_projections, input_width
from pace_integrations.memory import ActivationMemoryBank

WINDOW = 1024
DRAWS = 20


def texts(path: Path) -> Iterator[str]:
    """Yield the documents of a file."""
    if path.suffix != ".xz":
        yield path.read_text(encoding="utf-8")
        return
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def token_ids(model: str, path: Path, count: int) -> Tensor:
    """Return the first tokens of a file, whole windows of them."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids: list[int] = []
    for text in texts(path):
        ids += tokenizer(text, add_special_tokens=False).input_ids
        if len(ids) >= count:
            break
    return torch.tensor(ids[: min(count, len(ids)) // WINDOW * WINDOW]).view(-1, WINDOW)


class Collector:
    """Pre-hook that hands a layer's activations to a bank of every rule, and keeps a sample."""

    def __init__(self, features: int) -> None:
        self.banks = {
            rule: ActivationMemoryBank(features, MemoryConfig(rule=rule)) for rule in rules()
        }
        self.counts = {rule: torch.zeros(3, dtype=torch.int64) for rule in self.banks}
        self.seen: list[Tensor] = []

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Take one window."""
        x = args[0].reshape(1, -1, args[0].shape[-1])
        span = torch.arange(len(self.seen) * WINDOW, (len(self.seen) + 1) * WINDOW)[None]
        for rule, bank in self.banks.items():
            _, found = bank.begin_step(x)
            self.counts[rule] += found.count_hits(bank.config)
            bank.update(found, positions=span)
        self.seen.append(x[0].bfloat16())


def rules() -> tuple[Rule, ...]:
    """Return every rule there is."""
    return get_args(Rule)


def coherence(keys: Tensor) -> tuple[float, float]:
    """Return effective rank and mean cosine of two keys."""
    share = torch.linalg.svdvals(keys.double()).square()
    rank = torch.special.entr(share / share.sum()).sum().exp()
    unit = normalize(keys, dim=-1)
    number = len(keys)
    cosine = ((unit @ unit.T).sum() - number) / max(number * (number - 1), 1)
    return float(rank), float(cosine)


def report(layer: int, collector: Collector) -> None:
    """Print one layer's figures."""
    stream = torch.cat(collector.seen).float()
    some = torch.Generator().manual_seed(0)
    draws = [stream[torch.randperm(len(stream), generator=some)[:100]] for _ in range(DRAWS)]
    rank, cosine = (sum(f) / DRAWS for f in zip(*map(coherence, draws), strict=True))
    print(
        f"layer {layer}, {len(stream)} tokens: 100 random ones have rank {rank:.1f}, "
        f"cosine {cosine:.3f}"
    )
    for rule, bank in collector.banks.items():
        state = bank.state()
        filled = int(state["filled"])
        rank, cosine = coherence(state["keys"][0, :filled])
        ages = (len(stream) - state["written"][0, :filled]).double()
        low, middle, high = (int(ages.quantile(q)) for q in (0.0, 0.5, 1.0))
        hits = " ".join(f"{share:.2f}" for share in (collector.counts[rule] / len(stream)).tolist())
        print(
            f"  {rule}: {filled} slots, rank {rank:.1f}, cosine {cosine:.3f}, "
            f"age {low} to {high}, median {middle}; high, medium, low {hits}"
        )


def main() -> None:
    """Read the text and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="name or path of a causal language model")
    parser.add_argument("--text", required=True, type=Path)
    parser.add_argument("--tokens", type=int, default=102400)
    given = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32).eval()
    places = find_projections(model, None)
    collectors = {layer: Collector(input_width(module)) for layer, module in places.items()}
    for layer, module in places.items():
        module.register_forward_pre_hook(collectors[layer])
    with torch.inference_mode():
        for window in token_ids(given.model, given.text, given.tokens):
            model.get_decoder()(input_ids=window[None])
    for layer, collector in collectors.items():
        report(layer, collector)


if __name__ == "__main__":
    main()
