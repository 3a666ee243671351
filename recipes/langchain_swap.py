"""A LangChain retrieval chain, and the same chain with its documents read whole, side by side.

    $ python -m recipes.langchain_swap
    How often is the filter cleaned?
      retrieval: three months [1]  <- Heat pump warranty p. 3; Heat pump warranty p. 2
      whole: three months [3]  <- Heat pump warranty p. 3
    What is the security deposit?
      retrieval: 4,350 pounds [1]  <- Rental contract p. 2
      whole: 4,350 pounds [5]  <- Rental contract p. 2

``retrieval`` is the usual chain: a retriever finds k pages and a prompt is stuffed with them, anew
for every question. ``whole`` takes its place: same input, same keys of the output, but everything
was read once and nothing has to be found first. Needs the ``langchain`` extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough

from pace_integrations import Corpus
from pace_integrations.langchain import ChatPace, PageRetriever, create_corpus_qa_chain

QUESTIONS = ("How often is the filter cleaned?", "What is the security deposit?")
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from these pages:\n\n{pages}"), ("human", "{input}")]
)


def retrieval(llm: ChatPace, corpus: Corpus, k: int) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Find k pages, put them into the prompt, ask."""
    retriever = PageRetriever(corpus=corpus, k=k)  # any retriever will do
    stuffed = RunnablePassthrough.assign(pages=lambda given: _joined(given["context"]))
    return RunnablePassthrough.assign(
        context=lambda given: retriever.invoke(given["input"])
    ).assign(answer=stuffed | PROMPT | llm | StrOutputParser())


def whole(llm: ChatPace, corpus: Corpus) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Ask what has been read."""
    return create_corpus_qa_chain(llm, corpus)


def show(name: str, result: dict[str, Any]) -> None:
    """Print an answer and the pages in its ``context``."""
    pages = [f"{d.metadata['title']} p. {d.metadata['page_label']}" for d in result["context"]]
    print(f"  {name}: {result['answer']}  <- {'; '.join(pages)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Ask both chains the same questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["examples/documents"])
    parser.add_argument("-q", "--question", action="append", help="instead of those above")
    parser.add_argument("-k", type=int, default=2, help="pages to retrieve")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    llm, corpus = ChatPace(model=args.model, max_tokens=64), Corpus.from_paths(args.paths)
    chains = {"retrieval": retrieval(llm, corpus, args.k), "whole": whole(llm, corpus)}
    for question in args.question or QUESTIONS:
        print(question)
        for name, chain in chains.items():
            show(name, chain.invoke({"input": question}))


def _joined(pages: Sequence[Document]) -> str:
    return "\n\n".join(page.page_content for page in pages)


if __name__ == "__main__":
    main()
