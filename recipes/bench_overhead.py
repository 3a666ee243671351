"""The cost of the memory by context length and model size: the paper's open question.

    python -m recipes.bench_overhead
    python -m recipes.bench_overhead --lengths 1024 4096 --sizes 128x4 512x8 --pairs 3

Models are random, of Qwen3's shape with a feed-forward width of three times the hidden one; what is
in the weights does not change how long anything takes. Times are CPU seconds of this process on
one thread; every rule and memory off take turns in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from pace_integrations.config import GenerationConfig, MemoryConfig, Rule
from pace_integrations.memory import MemoryPatch
from pace_integrations.model.engine import Engine
from pace_integrations.model.loading import LoadedModel, load_model

RULES: tuple[Rule, ...] = ("released", "slotwise", "paper")
VOCABULARY, QUESTION, CHUNK = 8192, 16, 1024


def model_of(hidden: int, layers: int) -> Qwen3ForCausalLM:
    """Return a random model."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(hidden // 128, 1),
        head_dim=64,
        max_position_embeddings=65536,
        tie_word_embeddings=True,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def once(engine: Engine, ids: Sequence[int], tokens: int) -> tuple[float, float]:
    """Return CPU seconds to read, and for each token of an answer."""
    context = engine.new_context()
    start = time.process_time()
    for _ in engine.read(ids, context, cuts=(), chunk=CHUNK):
        pass
    read = time.process_time() - start
    start = time.process_time()
    config = GenerationConfig(max_new_tokens=tokens)
    pieces = list(engine.decode_answer(ids[:QUESTION], context.fork(), config, chunk=CHUNK))
    return read, (time.process_time() - start) / pieces[-1].tokens


def measure(hidden: int, layers: int, length: int, pairs: int, tokens: int) -> str:
    """Return one line of the table: seconds with memory off, and multiples of them by rule."""
    base = load_model(None)
    network = model_of(hidden, layers)
    engines = {}
    for name in ("off", *RULES):
        # Each has a copy of its own: a model carries one memory.
        own = model_of(hidden, layers) if name != "off" else network
        memory = None if name == "off" else MemoryConfig(rule=name)  # type: ignore[arg-type]
        patch = MemoryPatch(own, memory) if memory else None
        engines[name] = Engine(LoadedModel(name, own, base.tokenizer, None), patch)
    ids = torch.randint(0, VOCABULARY, (length,)).tolist()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for _ in range(pairs):
        for name, engine in engines.items():
            found[name].append(once(engine, ids, tokens))
    for engine in engines.values():
        engine.close()
    size = sum(p.numel() for p in network.parameters()) / 1e6
    medians = {n: [statistics.median(t) for t in zip(*v, strict=True)] for n, v in found.items()}
    read, each = medians["off"]
    cells = [f"{medians[rule][0] / read:.2f}, {medians[rule][1] / each:.2f}" for rule in RULES]
    return f"{size:.1f} M | {length} | {read:.2f}, {1000 * each:.1f} | " + " | ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["128x4", "256x8", "512x8"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[1024, 4096, 8192])
    parser.add_argument("--pairs", type=int, default=3, help="turns of each")
    parser.add_argument("--tokens", type=int, default=16, help="tokens of an answer")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("model | tokens | off: s to read, ms a token | " + " | ".join(RULES), flush=True)
    print("(times as long as memory off: reading, a token of the answer)", flush=True)
    for size in given.sizes:
        hidden, layers = map(int, size.split("x"))
        for length in given.lengths:
            print(measure(hidden, layers, length, given.pairs, given.tokens), flush=True)


if __name__ == "__main__":
    main()
