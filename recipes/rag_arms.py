"""Ways of asking a library that is too large for a prompt; see `compare_rag.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from pace_integrations.library import Library
from pace_integrations.library.passages import split_page
from recipes.bench.peers import find_gguf
from recipes.bench_library import ANSWER, ask, time_first_piece
from recipes.compare_selectors import DenseOrder
from recipes.train_nano import formats


def render_prompt(passages: Sequence[tuple[str, str]], question: str) -> str:
    """Return one prompt of some titles and texts, in the words that pace-small was trained with."""
    shown = [formats.passage(i + 1, t, None, x) for i, (t, x) in enumerate(passages)]
    return "".join(formats.prompt(shown, question))


@dataclass
class Arm:
    """One way of asking.

    Attributes:
        name: Its name.
        first: Waits for the first token of a question about so many passages.
        answer: Answers a question from so many passages; None where only the time counts.
    """

    name: str
    first: Callable[[str, int], object]
    answer: Callable[[str, int], str] | None = None


def library_arms(library: Library) -> list[Arm]:
    """Return the library's two ways, of which `each` has no single first token."""

    def answer(strategy: Literal["each", "together"]) -> Callable[[str, int], str]:
        return lambda question, passages: ask(library, question, strategy, ANSWER, passages)[1]

    return [
        Arm("library, together", partial(time_first_piece, library), answer("together")),
        Arm("library, each", answer("each"), answer("each")),
    ]


def render_found(library: Library, question: str, passages: int) -> str:
    """Return the prompt of the passages that words find."""
    chosen = library.find_pages(question, count=passages, selector="bm25").scored
    return render_prompt([(s.block.document.title, s.block.passage.text) for s in chosen], question)


def transformers_arm(library: Library, model: Any, tokenizer: Any) -> Arm:  # noqa: ANN401
    """Return the arm that reads what words find again, with plain Transformers."""

    def write(question: str, passages: int, count: int) -> str:
        prompt = render_found(library, question, passages)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        made = model.generate(**ids, max_new_tokens=count, do_sample=False)
        return str(tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))

    return Arm(
        "words + Transformers", lambda q, n: write(q, n, 1), lambda q, n: write(q, n, ANSWER)
    )


def langchain_arm(library: Library, model: Any, tokenizer: Any, dense: DenseOrder) -> Arm:  # noqa: ANN401
    """Return the arm of a LangChain chain over vectors of all passages."""
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableLambda
    from langchain_huggingface import HuggingFacePipeline
    from transformers import pipeline

    texts = [
        Document(part.text, metadata={"title": document.title})
        for document in library.documents
        for page in document.pages
        for part in split_page(page.text, page.section)
    ]
    start = time.process_time()
    vectors = np.stack([dense.embed(text.page_content).numpy() for text in texts])
    print(f"  vectors of {len(texts)} passages: {time.process_time() - start:.0f} s", flush=True)

    def retrieve(asked: tuple[str, int]) -> str:
        question, passages = asked
        scores = vectors @ dense.embed(question).numpy()
        best = [texts[i] for i in np.argsort(-scores)[:passages]]
        return render_prompt([(d.metadata["title"], d.page_content) for d in best], question)

    llm = HuggingFacePipeline(
        pipeline=pipeline("text-generation", model=model, tokenizer=tokenizer)
    )

    def chain(tokens: int) -> Any:  # noqa: ANN401
        # It hears options at the call alone, and would return the prompt before the answer.
        options = {"max_new_tokens": tokens, "do_sample": False}
        return RunnableLambda(retrieve) | llm.bind(skip_prompt=True, pipeline_kwargs=options)

    one, all_ = chain(1), chain(ANSWER)
    return Arm(
        "dense + LangChain", lambda q, n: one.invoke((q, n)), lambda q, n: all_.invoke((q, n))
    )


def llama_cpp_arm(library: Library) -> Arm:
    """Return the arm of llama.cpp, whose prompt cache keeps the beginning that prompts share."""
    import llama_cpp

    llm = llama_cpp.Llama(
        str(find_gguf()), n_ctx=8192, n_threads=1, n_threads_batch=1, verbose=False
    )
    llm.set_cache(llama_cpp.LlamaRAMCache())

    def first(question: str, passages: int) -> object:
        prompt = render_found(library, question, passages)
        return llm(prompt, max_tokens=1, temperature=0.0)

    return Arm("words + llama.cpp", first)
