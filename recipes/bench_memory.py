"""Time and memory of the activation memory, against a plain transcription of the published rule.

    python -m recipes.bench_memory                 # all of it, about five minutes on one core
    python -m recipes.bench_memory --widths 1408 --tokens 8192 --pairs 3

Times are CPU time of this process on one thread, so that other work on the machine does not
stretch them. Memory is the peak resident size during a call less the size before it (Linux).
Every step is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from pace_integrations.config import MemoryConfig
from pace_integrations.memory import ActivationMemoryBank, MemoryPatch
from pace_integrations.model._transformers import cache_argument
from recipes.transcription import Transcription

CHUNK = 1024
# The transcription holds three (tokens, slots, width) tensors: these many tokens fit into memory.
AFFORDABLE = {18944: 256}


def stream(width: int, tokens: int) -> Tensor:
    """Return tokens of which some are familiar to a bank that has seen others, and some new."""
    torch.manual_seed(0)
    directions = torch.randn(60, width)
    return directions[torch.randint(60, (tokens,))] + 1.2 * torch.randn(tokens, width)


def peak(work: Callable[[], object]) -> float:
    """Return megabytes that a call needs beyond what is resident before it; nan where unknown."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not serve the call
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        work()
        return (_status("VmHWM") - before) / 1024
    except (OSError, AttributeError):
        return float("nan")


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Return median CPU seconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def one_step(kind: str, width: int, tokens: int) -> dict[str, float]:
    """Return seconds and megabytes of one step from a full bank."""
    torch.set_num_threads(1)
    x = stream(width, 2 * tokens)
    if kind == "transcription":
        plain = Transcription(width)
        plain.step(x[:tokens])

        def work() -> object:
            return plain.step(x[tokens:])
    else:
        bank = ActivationMemoryBank(width, MemoryConfig(rule=kind))
        bank.step(x[None, :tokens])
        full = bank.clone()

        def work() -> object:
            return full.clone().step(x[None, tokens:])

    with torch.inference_mode():
        megabytes = peak(work)
        return {"megabytes": megabytes, "seconds": cpu(work, 1 if kind == "transcription" else 7)}


def in_process(kind: str, width: int, tokens: int) -> dict[str, float]:
    """Return `one_step` in a fresh process, whose memory nothing else has touched."""
    command = [
        sys.executable,
        "-m",
        "recipes.bench_memory",
        "--case",
        kind,
        str(width),
        str(tokens),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def steps(widths: list[int]) -> None:
    """Print one table row per width: ours against the transcription."""
    print("width | tokens | transcription s, MB | released s, MB (ratios) | slotwise s, MB")
    for width in widths:
        tokens = AFFORDABLE.get(width, CHUNK)
        theirs = in_process("transcription", width, tokens)
        ours, slotwise = (in_process(rule, width, tokens) for rule in ("released", "slotwise"))
        faster = theirs["seconds"] / ours["seconds"]
        smaller = theirs["megabytes"] / ours["megabytes"]
        print(
            f"{width} | {tokens} | {theirs['seconds']:.3f}, {theirs['megabytes']:.0f} | "
            f"{ours['seconds']:.4f}, {ours['megabytes']:.0f} ({faster:.0f}x, {smaller:.0f}x) | "
            f"{slotwise['seconds']:.4f}, {slotwise['megabytes']:.0f}",
            flush=True,
        )


def small_model() -> PreTrainedModel:
    """Return a random model of 8 layers, feed-forward width 1408."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=4000,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        initializer_range=0.05,
    )
    return Qwen2ForCausalLM(config).eval()


class Reader:
    """One chunked prefill in progress: memory off, ours, or the transcription."""

    def __init__(self, model: PreTrainedModel, kind: str) -> None:
        self.model, self.kind = model, kind
        self.cache = DynamicCache(config=model.config)
        self.seconds: list[float] = []

    def read(self, ids: Tensor) -> None:
        """Read one chunk; the memory is attached for its duration only."""
        layers, remove = self.model.model.layers, []
        if self.kind == "transcription":
            banks = self.__dict__.setdefault("banks", {i: Transcription(1408) for i in (3, 6)})
            for i, bank in banks.items():
                hook = _Plain(bank)
                remove.append(layers[i].mlp.down_proj.register_forward_pre_hook(hook).remove)
        elif self.kind != "off":
            patch = MemoryPatch(self.model, MemoryConfig(rule=self.kind, layers=(3, 6)))
            state = self.__dict__.setdefault("state", patch.new_state())
            context = patch.reading(state)
            context.__enter__()
            remove += [lambda: context.__exit__(None, None, None), patch.remove]
        start = time.process_time()
        self.model.model(input_ids=ids, **cache_argument(self.model.model, self.cache))
        self.seconds.append(time.process_time() - start)
        for undo in remove:
            undo()


class _Plain:
    """Pre-hook that runs a transcription."""

    def __init__(self, bank: Transcription) -> None:
        self.bank = bank

    def __call__(self, module: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.bank.step(args[0][0])[None],)


def prefill(tokens: int, pairs: int) -> None:
    """Print what the memory adds to a prefill; kinds take turns chunk by chunk."""
    torch.set_num_threads(1)
    model, kinds = small_model(), ["off", "released", "slotwise"]
    ids = torch.randint(0, 4000, (1, tokens))
    ratios: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds[1:]}
    with torch.inference_mode():
        for run in range(pairs):
            wanted = [*kinds, "transcription"] if run == 0 else kinds
            readers = {kind: Reader(model, kind) for kind in wanted}
            for i, part in enumerate(ids.split(CHUNK, 1)):
                for kind in wanted if i % 2 else wanted[::-1]:
                    readers[kind].read(part)
            off = readers["off"].seconds
            for kind, reader in readers.items():
                if kind != "off":
                    mine = reader.seconds
                    whole, later = sum(mine) / sum(off), sum(mine[1:]) / sum(off[1:])
                    ratios.setdefault(kind, []).append((whole, later))
    print(f"prefill of {tokens} tokens: time over memory off; whole, and after the first chunk")
    for kind, pairs_ in ratios.items():
        whole, later = (statistics.median(p[i] for p in pairs_) for i in (0, 1))
        print(f"{kind}: {whole:.3f}, {later:.3f} (median of {len(pairs_)})")


def _status(field: str) -> int:
    """Return a size in kilobytes from the kernel's view of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="*", default=[1408, 4864, 18944])
    parser.add_argument(
        "--tokens", type=int, default=8192, help="tokens of the prefill; 0 skips it"
    )
    parser.add_argument("--pairs", type=int, default=3, help="paired runs of the prefill")
    parser.add_argument("--case", nargs=3, metavar=("KIND", "WIDTH", "TOKENS"))
    given = parser.parse_args()
    if given.case:
        print(json.dumps(one_step(given.case[0], int(given.case[1]), int(given.case[2]))))
        return
    if given.widths:
        steps(given.widths)
    if given.tokens:
        prefill(given.tokens, given.pairs)


if __name__ == "__main__":
    main()
