"""Five questions over one document: `ChatPace` against langchain-huggingface.

    python -m recipes.bench_langchain                         # the embedded model, half a minute
    python -m recipes.bench_langchain --model PATH --tokens 4096 --rounds 3
    python -m recipes.bench_langchain --size 512x8 --new-tokens 8 --rounds 1   # random weights

How it is measured stands in `five_questions.py`. Needs ``pip install langchain-huggingface``.
"""

from __future__ import annotations

import torch
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from pace_integrations import Corpus, Pace
from pace_integrations.langchain import ChatPace
from pace_integrations.model.prompts import INSTRUCTION, passage_text
from recipes.five_questions import Round, clocks, measured, run


def ours(pace: Pace, pages: list[str], new_tokens: int) -> Round:
    """Read the document once and ask."""
    start = clocks()
    corpus = Corpus.from_texts({"house": "\f".join(pages)})
    chat = ChatPace(pace=pace, corpus=corpus, max_tokens=new_tokens)
    return measured(lambda question: (chunk.text for chunk in chat.stream(question)), start)


def theirs(chat: BaseChatModel, pages: list[str]) -> Round:
    """Put the document into every prompt."""
    start = clocks()
    text = "".join(passage_text(n, "house", str(n), page) for n, page in enumerate(pages, start=1))
    system = SystemMessage(INSTRUCTION + text)
    return measured(
        lambda question: (chunk.text for chunk in chat.stream([system, HumanMessage(question)])),
        start,
    )


def peer(path: str, new_tokens: int) -> ChatHuggingFace:
    """Return the other side, over the same weights in the same precision."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    generate = pipeline(
        "text-generation",
        model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval(),
        tokenizer=tokenizer,
        max_new_tokens=new_tokens,
        do_sample=False,
        return_full_text=False,
    )
    # The model's id is given so that nothing is looked up on the Hub.
    llm = HuggingFacePipeline(pipeline=generate, model_id=path)
    return ChatHuggingFace(llm=llm, tokenizer=tokenizer)


if __name__ == "__main__":
    run("ChatPace against langchain-huggingface", ours, theirs, peer)
