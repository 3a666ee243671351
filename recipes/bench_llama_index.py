"""Five questions over one document: `PaceQueryEngine` against llama-index-llms-huggingface.

    python -m recipes.bench_llama_index                       # the embedded model, half a minute
    python -m recipes.bench_llama_index --model PATH --tokens 4096 --rounds 3
    python -m recipes.bench_llama_index --size 512x8 --new-tokens 8 --rounds 1   # random weights

How it is measured stands in `five_questions.py`. Needs
``pip install llama-index-llms-huggingface``.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import Document
from llama_index.llms.huggingface import HuggingFaceLLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from pace_integrations import Pace
from pace_integrations.llama_index import PaceQueryEngine
from pace_integrations.model.prompts import INSTRUCTION, passage_text
from recipes.five_questions import Round, clocks, measured, run


def ours(pace: Pace, pages: list[str], new_tokens: int) -> Round:
    """Read the document once and ask."""
    start = clocks()
    documents = [
        Document(text=text, metadata={"file_name": "house", "page_label": str(n)})
        for n, text in enumerate(pages, start=1)
    ]
    engine = PaceQueryEngine.from_documents(
        documents, pace=pace, max_new_tokens=new_tokens, streaming=True
    )
    return measured(lambda question: engine.query(question).response_gen, start)


def theirs(llm: HuggingFaceLLM, pages: list[str]) -> Round:
    """Put the document into every prompt."""
    start = clocks()
    text = "".join(passage_text(n, "house", str(n), page) for n, page in enumerate(pages, start=1))
    system = ChatMessage(INSTRUCTION + text, role="system")

    def ask(question: str) -> Iterator[str]:
        stream = llm.stream_chat([system, ChatMessage(question, role="user")])
        return (step.delta for step in stream)

    return measured(ask, start)


def peer(path: str, new_tokens: int) -> HuggingFaceLLM:
    """Return the other side, over the same weights in the same precision."""
    network = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return HuggingFaceLLM(
        model=network,
        tokenizer=AutoTokenizer.from_pretrained(path),
        context_window=network.config.max_position_embeddings,
        max_new_tokens=new_tokens,
        generate_kwargs={"do_sample": False},
        is_chat_model=True,
    )


if __name__ == "__main__":
    run("PaceQueryEngine against llama-index-llms-huggingface", ours, theirs, peer)
