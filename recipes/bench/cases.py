"""One measurement of one arm; each runs in a process of its own, started by the runner."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from pace_integrations import Corpus, GenerationConfig, Pace, ReadConfig
from pace_integrations.model._transformers import cache_argument
from recipes.bench.asking import second_question
from recipes.bench.common import ANSWER, CHUNK, QUESTIONS, Result, corpus, load, never_end
from recipes.bench.integrations import integrations, page_rate, same_answers
from recipes.bench.measure import bandwidth, clock, forget_peak, machine, matrix_rate, status
from recipes.bench.peers import MissingPeerError, peers


def read(arm: str, tokens: int) -> Result:
    """Read `tokens` tokens: by Transformers' decoder over the same chunks, or by us."""
    pace = load("off" if arm == "transformers" else arm, **_context(tokens))
    engine = pace._engine
    model = engine.loaded.model
    ids = torch.randint(10, 8000, (tokens,), generator=torch.Generator().manual_seed(0)).tolist()

    def bare() -> Iterator[int]:
        cache = held["cache"] = DynamicCache(config=model.config)
        for part in torch.tensor([ids]).split(CHUNK, dim=1):
            with torch.inference_mode():
                model.get_decoder()(
                    input_ids=part, **cache_argument(model.get_decoder(), cache), use_cache=True
                )
            yield 0

    def ours() -> Iterator[int]:
        context = held["context"] = engine.new_context()
        engine.reserve(context, tokens)
        yield from engine.read(ids, context, cuts=[0], chunk=CHUNK)

    held: dict[str, object] = {}
    list(engine.read(ids[:CHUNK], engine.new_context(), cuts=[0], chunk=CHUNK))  # warm
    forget_peak()
    before, times, start = status("VmRSS"), [], clock()
    for _ in (bare if arm == "transformers" else ours)():
        times.append(clock() - start - sum(times))
    window = engine.window.tokens if engine.window else tokens
    cache = 4 * min(tokens, window) * _cache_width(model) / 2**20
    return {
        "seconds": sum(times),
        "tokens per second": tokens / sum(times),
        "MB over weights and cache": status("VmHWM") - before - cache,
        "cache MB": cache,
        "chunks": times,
    }


def growth(arm: str, tokens: int) -> Result:
    """How the time of a chunk grows with what was read, against attention over it alone."""
    result = read(arm, tokens)
    times = result["chunks"]
    past = [i * CHUNK for i in range(len(times))]
    slope, base = statistics.linear_regression(past, times)
    predicted = [base + slope * x for x in past]
    mean = statistics.fmean(times)
    left = sum((t - p) ** 2 for t, p in zip(times, predicted, strict=True))
    alone = _attention_slope()
    return {
        "seconds": result["seconds"],
        "chunk with no past, ms": base * 1e3,
        "ms more for 1000 tokens of past": slope * 1e6,
        "attention alone": alone * 1e6,
        "growth over attention's": slope / alone,
        "R2 of the line": 1 - left / sum((t - mean) ** 2 for t in times),
    }


def _attention_slope() -> float:
    """Seconds that one more token of past costs a chunk in the model's attention kernels."""
    config = load("off")._engine.loaded.model.config
    heads, kept = config.num_attention_heads, config.num_key_value_heads
    times = []
    for past in (8192, 24576):
        query = torch.randn(1, kept, CHUNK * heads // kept, config.head_dim)
        keys = torch.randn(1, kept, past, config.head_dim)
        seconds = []
        for _ in range(3):
            start = clock()
            torch.nn.functional.scaled_dot_product_attention(query, keys, keys)
            seconds.append(clock() - start)
        times.append(min(seconds))
    return config.num_hidden_layers * (times[1] - times[0]) / (24576 - 8192)


def many_long(arm: str, tokens: int) -> Result:
    """Do the same with answers that all are as long as they may be."""
    return many(arm, tokens, whole=True)


def many(arm: str, tokens: int, *, whole: bool = False) -> Result:
    """Sixteen questions over one document, together or one after the other."""
    pace = load("released")
    if whole:
        never_end(pace)
    session = pace.read(corpus(pace, tokens))
    generation = GenerationConfig(max_new_tokens=32)
    session.ask(QUESTIONS[0], generation=generation)
    session.ask_many(QUESTIONS[:2], generation=generation)
    start = clock()
    if arm == "together":
        answers = session.ask_many(QUESTIONS, generation=generation)
    else:
        answers = [session.ask(question, generation=generation) for question in QUESTIONS]
    seconds = clock() - start
    written = sum(answer.usage.output_tokens for answer in answers)
    texts = [answer.text for answer in answers]
    return {"seconds": seconds, "tokens per second": written / seconds, "texts": texts}


def open_saved(arm: str, tokens: int) -> Result:
    """From nothing but the loaded model to the first token: by opening, or by reading again."""
    pace = load("released")
    read_in = corpus(pace, tokens)
    first = GenerationConfig(max_new_tokens=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.pace"
        pace.read(read_in).save(path)
        start = clock()
        session = pace.read(read_in) if arm == "read again" else pace.open(path, verify="fast")
        session.ask(QUESTIONS[1], generation=first)
        return {"seconds": clock() - start}


def precision(arm: str, tokens: int) -> Result:
    """Measure reading and writing in other precisions."""
    options: dict[str, Any] = {"float32": {"dtype": "float32"}, "bfloat16": {"dtype": "bfloat16"}}
    pace = Pace.load(memory=None, **options.get(arm, {"quantization": arm}))
    read_in = corpus(pace, tokens)
    pace.read(Corpus.from_texts({"warm": "Warm up. " * 50})).ask(QUESTIONS[0])
    start = clock()
    session = pace.read(read_in, config=ReadConfig(chunk=CHUNK))
    seconds, start = clock() - start, clock()
    answer = session.ask(QUESTIONS[1], generation=GenerationConfig(max_new_tokens=ANSWER))
    spent = clock() - start
    return {
        "reading, tokens per second": session.tokens / seconds,
        "writing, tokens per second": answer.usage.output_tokens / spent,
    }


def held(arm: str, tokens: int) -> Result:
    """Keys and values in full precision or in eight bits."""
    pace = load("off", kv=arm)
    read_in = corpus(pace, tokens)
    pace.read(Corpus.from_texts({"warm": "Warm up. " * 50})).ask(QUESTIONS[0])
    start = clock()
    session = pace.read(read_in, config=ReadConfig(chunk=CHUNK))
    seconds, start = clock() - start, clock()
    generation = GenerationConfig(max_new_tokens=ANSWER)
    answers = [session.ask(question, generation=generation) for question in QUESTIONS]
    spent, written = clock() - start, sum(answer.usage.output_tokens for answer in answers)
    return {
        "cache MB": session.footprint()["cache_per_token"] * session.tokens / 2**20,
        "reading, tokens per second": session.tokens / seconds,
        "writing, tokens per second": written / spent,
        "texts": [answer.text for answer in answers],
    }


def chunks(arm: str, tokens: int) -> Result:
    """Measure reading in chunks of as many tokens as the arm's name says."""
    pace = load("released")
    read_in = corpus(pace, tokens)
    pace.read(Corpus.from_texts({"warm": "Warm up. " * 50}))
    forget_peak()
    before, start = status("VmRSS"), clock()
    session = pace.read(read_in, config=ReadConfig(chunk=int(arm)))
    seconds = clock() - start
    cache = session.footprint()["cache_per_token"] * session.tokens / 2**20
    return {"seconds": seconds, "MB over weights and cache": status("VmHWM") - before - cache}


def limits(arm: str, tokens: int) -> Result:
    """Measure the machine's rates, and what reading `tokens` tokens needs of them."""
    model = load("off")._engine.loaded.model
    config = model.config
    inner = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n)
    width = config.num_attention_heads * config.head_dim
    needed = 2 * inner * tokens + 2 * config.num_hidden_layers * width * tokens**2
    written = 4 * sum(p.numel() for p in model.parameters()) + 4 * tokens * _cache_width(model)
    rate, bytes_rate = matrix_rate(), bandwidth()
    return {
        "matrix rate, GFLOP/s": rate / 1e9,
        "bandwidth, GB/s": bytes_rate / 1e9,
        "operations of reading, G": needed / 1e9,
        "reading at best, tokens per second": tokens / (needed / rate),
        "bytes of one token written, MB": written / 1e6,
        "writing at best, tokens per second": bytes_rate / written,
        **machine(),
    }


def _cache_width(model: PreTrainedModel) -> int:
    """Numbers that the cache holds of one token."""
    config = model.config
    return int(config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim)


def _context(tokens: int) -> dict[str, Any]:
    """Beyond the model's context, the window of the whole context goes along."""
    return {"overflow": "window"} if tokens > 32000 else {}


_ALL = (
    read,
    chunks,
    growth,
    second_question,
    many,
    many_long,
    open_saved,
    precision,
    held,
    limits,
    peers,
    integrations,
    same_answers,
    page_rate,
)
MISSING = "missing"
CASES = {function.__name__: function for function in _ALL}


def main() -> None:
    """Run ``CASE ARM TOKENS`` and prints the result as JSON."""
    torch.set_num_threads(int(sys.argv[4]))
    try:
        print(json.dumps(CASES[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
    except MissingPeerError as error:
        print(json.dumps({MISSING: str(error)}))


if __name__ == "__main__":
    main()
