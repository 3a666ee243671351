"""The second question over a document, asked of ours and of what people use today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from pace_integrations import GenerationConfig, Pace
from pace_integrations.model._transformers import cache_argument
from pace_integrations.model.loading import EMBEDDED
from recipes.bench.common import ANSWER, CHUNK, QUESTIONS, Result, corpus, load, never_end
from recipes.bench.measure import clock


def second_question(arm: str, tokens: int) -> Result:
    """First token and rate of the second question over a document."""
    return {"ours": _ask_ours, "memory": _ask_ours, **FRAMEWORKS}[arm](arm, tokens)


def _ask_ours(arm: str, tokens: int) -> Result:
    pace = load("off" if arm == "ours" else "released")
    never_end(pace)  # all write equally much
    session = pace.read(corpus(pace, tokens))
    generation = GenerationConfig(max_new_tokens=ANSWER)
    session.ask(QUESTIONS[0], generation=generation)
    start, first = clock(), 0.0
    for piece in pace._engine.decode_answer(
        pace._engine.prompts.encode_suffix(QUESTIONS[1]),
        session._state.context.fork(),
        generation,
        chunk=CHUNK,
    ):
        first = first or (clock() - start if piece.tokens else 0.0)
    return _rates(first, clock() - start)


def _ask_generate(arm: str, tokens: int) -> Result:
    """Call Transformers' own generate, on a cache that holds the document already."""
    pace, ids, prefix = _prompt(tokens)
    model = pace._engine.loaded.model
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        for part in torch.tensor([ids[:prefix]]).split(CHUNK, dim=1):
            model.get_decoder()(
                input_ids=part, **cache_argument(model.get_decoder(), cache), use_cache=True
            )
    return _generate(model, ids, **cache_argument(model, cache))


def _ask_anew(arm: str, tokens: int) -> Result:
    """Call Transformers' own generate, sent the whole document again."""
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
    """Return the whole prompt of the second question, and how much of it is the document."""
    pace = load("off")
    session_ids = pace.read(corpus(pace, tokens)).tokens
    reading = pace._engine.prompts.encode_prefix()
    for passage in pace.read(corpus(pace, tokens)).passages:
        page = passage.page
        reading += pace._engine.prompts.encode_passage(
            passage.number, passage.document.title, page.label, page.text
        )
    assert len(reading) == session_ids
    return pace, reading + pace._engine.prompts.encode_suffix(QUESTIONS[1]), session_ids


def _rates(first: float, total: float) -> Result:
    rate = (ANSWER - 1) / (total - first)
    return {"first token, s": first, "whole answer, s": total, "tokens per second": rate}
