"""Chains, retriever, loader and tool of the LangChain face, and LangChain's tests of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from house import PAGES, QUESTION, SHORT
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from ticking import ticking, watch_reading

from pace_integrations import Corpus, Pace, Session
from pace_integrations.answer import Answer
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.langchain import (
    ChatPace,
    PaceCorpusTool,
    PaceLoader,
    PaceRetriever,
    create_corpus_qa_chain,
    create_pace_documents_chain,
)
from pace_integrations.langchain.readings import to_corpus


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _give_corpus(self, corpus: Corpus) -> None:
        type(self).corpus = Corpus.from_texts(
            [(f"{name} {i}", text) for i in range(2) for name, text in TEXTS.items()]
        )

    @property
    def retriever_constructor(self) -> type[PaceRetriever]:
        return PaceRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"corpus": self.corpus}

    @property
    def retriever_query_example(self) -> str:
        return "Where do the oak and the pond stand near the gate?"


TEXTS = {
    "Garden": "The oak stands near the pond. The gate opens at 7:30. The gate is green.",
    "Kitchen": "Bread is baked on Mondays near the gate. The oven is a Marlow 200.",
}


class Tool:
    @pytest.fixture(autouse=True)
    def _give_session(self, house_session: Session) -> None:
        type(self).session = house_session

    @property
    def tool_constructor(self) -> type[PaceCorpusTool]:
        return PaceCorpusTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"session": self.session, "generation": SHORT}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": QUESTION}


class TestToolUnit(Tool, ToolsUnitTests):
    pass


class TestToolIntegration(Tool, ToolsIntegrationTests):
    pass


def test_the_retriever_ranks_the_pages_that_have_the_words_first(corpus: Corpus) -> None:
    retriever = PaceRetriever(corpus=corpus, k=2)
    found = retriever.invoke("Which oven bakes the bread?")
    assert [d.metadata["title"] for d in found] == ["Kitchen"]
    assert found[0].metadata["passage"] == 2
    both = retriever.invoke("When does the gate open, and on which days is bread baked?")
    assert {d.metadata["title"] for d in both} == {"Garden", "Kitchen"}
    assert both[0].metadata["score"] >= both[1].metadata["score"] > 0
    assert retriever.invoke("zebra") == []


def test_the_retriever_follows_a_session_that_grows(pace: Pace, corpus: Corpus) -> None:
    session = pace.read(Corpus.from_texts({"Old": "A lamp stands here."}))
    retriever = PaceRetriever(session=session)
    assert retriever.invoke("trunks of letters") == []
    session.add(corpus)
    assert retriever.invoke("trunks of letters")[0].metadata["title"] == "Attic"


def test_a_retriever_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="session= or a corpus="):
        PaceRetriever()


def test_the_loader_loads_pages_with_the_usual_metadata(house: Path) -> None:
    loader = PaceLoader(house)
    documents = loader.load()
    assert [d.page_content for d in documents] == list(PAGES)
    assert [d.metadata["page"] for d in documents] == [0, 1]
    assert [d.metadata["page_label"] for d in documents] == ["1", "2"]
    assert {d.metadata["total_pages"] for d in documents} == {2}
    assert {d.metadata["source"] for d in documents} == {str(house / "house.pdf")}
    assert loader.report.counts() == {"ok": 1}


def test_the_loader_goes_on_after_a_broken_file(house: Path, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 broken")
    (tmp_path / "b.txt").write_text("The well is dry.")
    loader = PaceLoader(tmp_path)
    assert [d.page_content for d in loader.lazy_load()] == ["The well is dry."]
    assert loader.report.counts() == {"corrupt": 1, "ok": 1}
    (tmp_path / "b.txt").unlink()
    with pytest.raises(DocumentError, match="corrupt"):
        loader.load()


def test_the_tool_names_its_sources(house_session: Session) -> None:
    tool = PaceCorpusTool(session=house_session, generation=SHORT)
    call = {"name": tool.name, "args": {"question": QUESTION}, "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    assert isinstance(message.artifact, Answer)
    assert message.content.startswith(message.artifact.text)
    for citation in message.artifact.citations:
        assert f"page {citation.page_label}" in message.content


async def test_a_corpus_chain_gives_answer_context_and_citations(embedded: Pace) -> None:
    session = embedded.read(Corpus.from_texts(TEXTS))
    chain = create_corpus_qa_chain(ChatPace(pace=embedded, max_tokens=32), session)
    whole = chain.invoke({"input": QUESTION})
    asked = session.ask(QUESTION)
    assert whole["input"] == QUESTION
    assert asked.text.startswith(whole["answer"])
    assert [c["page"] for c in whole["citations"]] == [c.page for c in asked.citations]
    assert [d.metadata["title"] for d in whole["context"]] == [c.document for c in asked.citations]
    parts = list(chain.stream({"input": QUESTION}))
    assert "".join(part.get("answer", "") for part in parts) == whole["answer"]
    assert len([part for part in parts if "answer" in part]) > 1
    async with ticking() as ticks:
        assert (await chain.ainvoke({"input": QUESTION}))["answer"] == whole["answer"]
    assert ticks.count > 5


def test_a_corpus_chain_sees_the_turns_before(embedded: Pace) -> None:
    llm = ChatPace(pace=embedded, max_tokens=24)
    corpus = Corpus.from_texts(TEXTS)
    history = [HumanMessage("Which oven is there?"), AIMessage("A Marlow 200 [2].")]
    chain = create_corpus_qa_chain(llm, corpus)
    session = embedded.read(corpus)
    expected = llm.over(session).invoke([*history, HumanMessage(QUESTION)]).content
    assert chain.invoke({"input": QUESTION, "chat_history": history})["answer"] == expected


def test_documents_of_any_retriever_are_read_once(
    embedded: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = watch_reading(monkeypatch)
    chain = create_pace_documents_chain(ChatPace(pace=embedded, max_tokens=16))
    documents = [
        Document(text, metadata={"source": name, "page": i})
        for i, (name, text) in enumerate(TEXTS.items())
    ]
    first = chain.invoke({"context": documents, "input": QUESTION})
    assert chain.invoke({"context": documents[::-1], "input": QUESTION}) == first
    assert "".join(chain.stream({"context": documents, "input": QUESTION})) == first
    assert len(reads) == 1
    chain.invoke({"context": documents[:1], "input": QUESTION})
    assert len(reads) == 2
    assert embedded.read(to_corpus(documents)).ask(QUESTION).text.startswith(first)


def test_chunks_of_a_page_become_that_page(corpus: Corpus) -> None:
    chunks = [
        Document("End.", metadata={"source": "a.pdf", "page": 4, "start_index": 9}),
        Document(
            "Start.", metadata={"source": "a.pdf", "page": 4, "start_index": 0, "page_label": "iv"}
        ),
        Document("Alone.", metadata={"source": "b.txt"}),
        Document(
            "Start.", metadata={"source": "a.pdf", "page": 4, "start_index": 0, "page_label": "iv"}
        ),
    ]
    made = to_corpus(chunks)
    assert [(d.title, p.index, p.label, p.text) for d, p in made.pages()] == [
        ("a.pdf", 5, "iv", "Start.\n\nEnd."),
        ("b.txt", 1, None, "Alone."),
    ]


def test_a_chain_over_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a ChatPace"):
        create_corpus_qa_chain("gpt")  # type: ignore[arg-type]
