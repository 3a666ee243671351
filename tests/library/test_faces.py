"""A library in LangChain and in LlamaIndex gives what it gives by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import QuestionError
from pace_integrations.langchain import PaceLibraryRetriever, create_library_qa_chain
from pace_integrations.langchain.library import select_with
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.llama_index import library as llama

SHORT = GenerationConfig(max_new_tokens=6)
PLACES = ["harbor", "bakery", "station", "castle"]
QUESTION = "Who rings a bell at the castle?"


@pytest.fixture
def library(tmp_path: Path, reader: Pace) -> Library:
    made = Library.open(tmp_path / "lib", reader, profile=ReadingProfile(index_layers=(1,)))
    texts = {p: f"The {p} has a door.\fThe {p} keeper rings a bell at noon." for p in PLACES}
    made.add(Corpus.from_texts(texts))
    return made


def test_langchain_retrieves_its_pages(library: Library) -> None:
    retriever = PaceLibraryRetriever(library=library, k=2, selector="bm25")
    found = retriever.invoke(QUESTION)
    assert (found[0].metadata["title"], found[0].metadata["page_index"]) == ("castle", 2)
    assert len(found) == 2
    assert len(retriever.invoke(QUESTION, k=1)) == 1
    first = found[0].metadata
    assert first["passage"] == library.passages[7].number
    assert "words:" in first["reason"]


def test_langchain_chain_answers_as_the_library(library: Library) -> None:
    chain = create_library_qa_chain(library, generation=SHORT, selector="bm25")
    answer = library.ask(QUESTION, generation=SHORT, selector="bm25")
    for out in (chain.invoke({"input": QUESTION}), asyncio.run(chain.ainvoke({"input": QUESTION}))):
        assert out["answer"] == answer.text
        assert out["support"] == answer.support
        assert len(out["evidence"]) == len(answer.evidence)
        assert out["context"][0].metadata["title"] == "castle"
    history = [("user", "Hello"), ("assistant", "Yes?")]
    assert chain.invoke({"input": QUESTION, "chat_history": history})["answer"] is not None
    with pytest.raises(QuestionError, match="needs 'input'"):
        chain.invoke({"question": QUESTION})


class Fixed(BaseRetriever):
    """Gives the same documents for every question."""

    found: list[Document]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return self.found


@pytest.mark.parametrize(
    "metadata",
    [
        {"passage": 5},
        {"source": "station", "page": 0},
        {"title": "station", "page_index": 1},
    ],
)
def test_a_retriever_of_langchain_chooses_the_pages(
    library: Library, metadata: dict[str, object]
) -> None:
    stray = Document("nowhere", metadata={"source": "elsewhere"})
    selector = select_with(Fixed(found=[stray, Document("x", metadata=metadata)]), "mine")
    answer = library.ask(QUESTION, selector=selector, generation=SHORT)
    assert answer.selection.selector == "mine"
    assert [(p.document, p.page) for p in answer.selection.pages] == [("station", 1)]


def test_llama_index_retrieves_and_answers(library: Library) -> None:
    nodes = llama.PaceLibraryRetriever(library, selector="bm25").retrieve(QUESTION)
    assert len(nodes) == 2
    assert nodes[0].metadata["title"] == "castle"
    assert nodes[0].metadata["passage"] == library.passages[7].number
    engine = llama.PaceLibraryQueryEngine(library, generation=SHORT, selector="bm25")
    answer = library.ask(QUESTION, generation=SHORT, selector="bm25")
    for response in (engine.query(QUESTION), asyncio.run(engine.aquery(QUESTION))):
        assert str(response) == answer.text
        assert response.metadata["support"] == answer.support
        assert [n.metadata["passage"] for n in response.source_nodes] == [
            c.passage for c in answer.citations
        ]
