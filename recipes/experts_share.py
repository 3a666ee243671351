"""The next-token loss by the share of neurons used, for several ways to group them.

    python -m recipes.experts_share README.md docs/ --experts 64
    python -m recipes.experts_share corpus.txt --model Qwen/Qwen2.5-0.5B --tokens 16384

Only the most active modules of each token take part (`ExpertConfig.active`, experimental). The
first half of the text shows which neurons fire together, the second half is scored. Two controls
frame the clusterings: neurons grouped at random, and every neuron for itself, which is the most
that any grouping could reach with this choice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from pace_integrations import Corpus, ExpertConfig
from pace_integrations.experts import mask_experts
from pace_integrations.feed_forward import find_blocks
from pace_integrations.model.expert_checkpoint import divide_into_experts
from pace_integrations.model.forward import token_losses
from pace_integrations.model.loading import LoadedModel, LoadSettings, load_model
from pace_integrations.model.prompts import Prompts

SHARES = (1.0, 0.75, 0.5, 0.25, 0.125)
WINDOW = 512


def losses(loaded: LoadedModel, windows: Sequence[Tensor]) -> float:
    """Return mean loss in nats of the tokens in the later half of each window."""
    parts = [token_losses(loaded.model, ids, ids.shape[1] // 2) for ids in windows]
    return float(torch.cat(parts).mean())


def groupings(loaded: LoadedModel, experts: int, text: str, cache: str) -> dict[str, ExpertConfig]:
    """Return the clusterings and their controls, by name."""
    base = ExpertConfig(experts=experts, cache=cache)
    # Single neurons are not clustered at all; any order of them will do.
    neurons = find_blocks(loaded.model)[0].neurons
    return {
        "coactivation": replace(base, by="coactivation", text=text),
        "weights": base,
        "random": replace(base, by="random"),
        "single neurons": replace(base, experts=neurons, by="random"),
    }


def measure(
    loaded: LoadedModel, text: str, *, experts: int, tokens: int, shares: Sequence[float] = SHARES
) -> Iterator[tuple[str, dict[float, float]]]:
    """Yield loss by share of active modules, by grouping; the model is as before after each."""
    middle = len(text) // 2
    ids = Prompts(loaded.tokenizer).encode_text(text[middle:])[:tokens]
    windows = [torch.tensor([ids[i : i + WINDOW]]) for i in range(0, len(ids), WINDOW)]
    windows = [window for window in windows if window.shape[1] >= 4]
    with tempfile.TemporaryDirectory() as cache:
        for name, config in groupings(loaded, experts, text[:middle], cache).items():
            _, done = divide_into_experts(loaded, config)
            row = {}
            for share in shares:
                with mask_experts(loaded.model, replace(config, active=share)):
                    row[share] = losses(loaded, windows)
            done.restore()
            yield name, row


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the text and print a row per grouping."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", help="text: files or folders")
    parser.add_argument("--model", help="name or path; default: the embedded one")
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=8192, help="tokens scored")
    parser.add_argument("--json", action="store_true", help="one object per grouping")
    given = parser.parse_args(arguments)
    disable_progress_bar()
    text = "\n".join(page.text for _, page in Corpus.from_paths(given.paths).pages())
    loaded = load_model(given.model, LoadSettings(dtype="float32"))
    if not given.json:
        print("loss in nats by share of modules used:", *SHARES, sep=" | ")
    for name, row in measure(loaded, text, experts=given.experts, tokens=given.tokens):
        if given.json:
            print(json.dumps({"by": name, "loss": row}), flush=True)
        else:
            print(name, *(f"{loss:.3f}" for loss in row.values()), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
