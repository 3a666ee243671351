"""One measurement of one arm; each runs in a process of its own, started by the runner."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, ReadConfig
from pace_integrations.model.loading import EMBEDDED
from recipes.bench.measure import bandwidth, clock, forget_peak, machine, matrix_rate, status

CHUNK = 1024
ANSWER = 48
QUESTIONS = [f"What was measured in experiment {i}?" for i in range(16)]
Result = dict[str, Any]


def corpus(pace: Pace, tokens: int) -> Corpus:
    """Made-up laboratory notes of about `tokens` tokens, in pages."""
    lines, count = [], 0
    words = ["copper", "salt", "lens", "filter", "engine", "valve", "paper", "glass", "magnet"]
    while count < tokens:
        i = len(lines)
        first, second = words[i % 9], words[(i * 7 + 3) % 9]
        lines.append(f"In experiment {i} the {first} lay by the {second}, and {i * 37} was seen.")
        count += 1 + pace.count_tokens(lines[-1])
    pages = ["\n".join(lines[i : i + 20]) for i in range(0, len(lines), 20)]
    return Corpus.from_texts({"notes": "\f".join(pages)})


def load(arm: str, **options: object) -> Pace:
    """The embedded model for an arm: memory off, or on under the rule the arm names."""
    memory = None if arm == "off" else MemoryConfig(rule=arm)  # type: ignore[arg-type]
    return Pace.load(memory=memory, **options)  # type: ignore[arg-type]


def read(arm: str, tokens: int) -> Result:
    """Reads `tokens` tokens: by Transformers' decoder over the same chunks, or by us."""
    pace = load("off" if arm == "transformers" else arm, **_context(tokens))
    engine = pace._engine
    model = engine.loaded.model
    ids = torch.randint(10, 8000, (tokens,), generator=torch.Generator().manual_seed(0)).tolist()

    def bare() -> Iterator[int]:
        cache = held["cache"] = DynamicCache(config=model.config)
        for part in torch.tensor([ids]).split(CHUNK, dim=1):
            with torch.inference_mode():
                model.get_decoder()(input_ids=part, past_key_values=cache, use_cache=True)
            yield 0

    def ours() -> Iterator[int]:
        context = held["context"] = engine.empty()
        engine.reserve(context, tokens)
        yield from engine.read(ids, context, cuts=[0], chunk=CHUNK)

    held: dict[str, object] = {}
    list(engine.read(ids[:CHUNK], engine.empty(), cuts=[0], chunk=CHUNK))  # warm
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


def second_question(arm: str, tokens: int) -> Result:
    """First token and rate of the second question over a document."""
    return {"ours": _ask_ours, "memory": _ask_ours, **FRAMEWORKS}[arm](arm, tokens)


def _ask_ours(arm: str, tokens: int) -> Result:
    pace = load("off" if arm == "ours" else "released")
    pace._engine.loaded.model.generation_config.eos_token_id = None  # all write equally much
    pace._engine.loaded.tokenizer.eos_token = None
    session = pace.read(corpus(pace, tokens))
    generation = GenerationConfig(max_new_tokens=ANSWER)
    session.ask(QUESTIONS[0], generation=generation)
    start, first = clock(), 0.0
    for piece in pace._engine.answer(
        pace._engine.prompts.tail(QUESTIONS[1]),
        session._state.context.fork(),
        generation,
        chunk=CHUNK,
    ):
        first = first or (clock() - start if piece.tokens else 0.0)
    return _rates(first, clock() - start)


def _ask_generate(arm: str, tokens: int) -> Result:
    """Transformers' own generate, on a cache that holds the document already."""
    pace, ids, prefix = _prompt(tokens)
    model = pace._engine.loaded.model
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        for part in torch.tensor([ids[:prefix]]).split(CHUNK, dim=1):
            model.get_decoder()(input_ids=part, past_key_values=cache, use_cache=True)
    return _generate(model, ids, past_key_values=cache)


def _ask_anew(arm: str, tokens: int) -> Result:
    """Transformers' own generate, sent the whole document again."""
    pace, ids, _ = _prompt(tokens)
    return _generate(pace._engine.loaded.model, ids)


def _generate(model: PreTrainedModel, ids: list[int], **options: object) -> Result:
    timer = _Timer()
    whole = torch.tensor([ids])
    start = clock()
    model.generate(
        input_ids=whole,
        attention_mask=torch.ones_like(whole),
        streamer=timer,
        **FULL,
        **options,
    )
    return _rates(timer.first - start, clock() - start)


def _ask_langchain(arm: str, tokens: int) -> Result:
    """`HuggingFacePipeline`, sent the whole document again."""
    from langchain_huggingface import HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    pace, ids, _ = _prompt(tokens)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    made = pipeline("text-generation", model=model, tokenizer=tokenizer)
    llm = HuggingFacePipeline(pipeline=made, pipeline_kwargs=FULL)
    return _streamed(lambda: llm.stream(pace._engine.loaded.tokenizer.decode(ids)))


def _ask_llama_index(arm: str, tokens: int) -> Result:
    """LlamaIndex's `HuggingFaceLLM`, sent the whole document again."""
    from llama_index.llms.huggingface import HuggingFaceLLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, ids, _ = _prompt(tokens)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    llm = HuggingFaceLLM(
        model=model,
        tokenizer=tokenizer,
        context_window=32768,
        max_new_tokens=ANSWER,
        generate_kwargs={k: v for k, v in FULL.items() if k != "max_new_tokens"},
    )
    return _streamed(lambda: llm.stream_complete(tokenizer.decode(ids), formatted=True))


FULL = {
    "max_new_tokens": ANSWER,
    "min_new_tokens": ANSWER,
    "do_sample": False,
    "pad_token_id": 3,
}
FRAMEWORKS: dict[str, Callable[[str, int], Result]] = {
    "generate": _ask_generate,
    "generate anew": _ask_anew,
    "HuggingFacePipeline": _ask_langchain,
    "HuggingFaceLLM": _ask_llama_index,
}


class _Timer:
    """A streamer that notes when the first token comes; the prompt comes before it."""

    def __init__(self) -> None:
        self.first, self._prompt = 0.0, True

    def put(self, value: object) -> None:
        if not self._prompt:
            self.first = self.first or clock()
        self._prompt = False

    def end(self) -> None:
        """Nothing to do."""


def _streamed(stream: Callable[[], Any]) -> Result:
    list(stream())  # the first question, which also warms up
    start, first = clock(), 0.0
    for _ in stream():
        first = first or clock() - start
    # Both hold words back until they are whole: their pieces are no tokens to take a rate of.
    return {"first token, s": first, "whole answer, s": clock() - start}


def _prompt(tokens: int) -> tuple[Pace, list[int], int]:
    """The whole prompt of the second question, and how much of it is the document."""
    pace = load("off")
    session_ids = pace.read(corpus(pace, tokens)).tokens
    reading = pace._engine.prompts.head()
    for passage in pace.read(corpus(pace, tokens)).passages:
        page = passage.page
        reading += pace._engine.prompts.passage(
            passage.number, passage.document.title, page.label, page.text
        )
    assert len(reading) == session_ids
    return pace, reading + pace._engine.prompts.tail(QUESTIONS[1]), session_ids


def _rates(first: float, total: float) -> Result:
    rate = (ANSWER - 1) / (total - first)
    return {"first token, s": first, "whole answer, s": total, "tokens per second": rate}


def many(arm: str, tokens: int) -> Result:
    """Sixteen questions over one document, together or one after the other."""
    pace = load("released")
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
    """Reading and writing in other precisions."""
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


def limits(arm: str, tokens: int) -> Result:
    """The machine's rates, and what reading `tokens` tokens needs of them."""
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


CASES = {
    function.__name__: function
    for function in (read, growth, second_question, many, open_saved, precision, limits)
}


def main() -> None:
    """Runs ``CASE ARM TOKENS`` and prints the result as JSON."""
    torch.set_num_threads(int(sys.argv[4]))
    print(json.dumps(CASES[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))


if __name__ == "__main__":
    main()
