"""Chains, retriever, loader and tool of the LangChain face, and LangChain's tests of them."""

from __future__ import annotations

import pickle
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
from house import PAGES, QUESTION, SHORT
from langchain_core.documents import Document
from langchain_core.exceptions import ContextOverflowError as LangChainOverflowError
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
    PaceLLM,
    PaceLoader,
    PageRetriever,
    create_corpus_qa_chain,
    create_pace_documents_chain,
)
from pace_integrations.langchain.document_sets import DocumentSet


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _give_corpus(self, corpus: Corpus) -> None:
        type(self).corpus = Corpus.from_texts(
            [(f"{name} {i}", text) for i in range(2) for name, text in TEXTS.items()]
        )

    @property
    def retriever_constructor(self) -> type[PageRetriever]:
        return PageRetriever

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
    retriever = PageRetriever(corpus=corpus, k=2)
    found = retriever.invoke("Which oven bakes the bread?")
    assert [d.metadata["title"] for d in found] == ["Kitchen"]
    assert found[0].metadata["passage"] == 2
    both = retriever.invoke("When does the gate open, and on which days is bread baked?")
    assert {d.metadata["title"] for d in both} == {"Garden", "Kitchen"}
    assert both[0].metadata["score"] >= both[1].metadata["score"] > 0
    assert retriever.invoke("zebra") == []


def test_the_retriever_follows_a_session_that_grows(pace: Pace, corpus: Corpus) -> None:
    session = pace.read(Corpus.from_texts({"Old": "A lamp stands here."}))
    retriever = PageRetriever(session=session)
    assert retriever.invoke("trunks of letters") == []
    session.add(corpus)
    assert retriever.invoke("trunks of letters")[0].metadata["title"] == "Attic"


def test_a_retriever_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="session= or a corpus="):
        PageRetriever()


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


async def test_documents_that_do_not_fit_are_langchains_error_at_every_entry(
    pace: Pace, house_session: Session, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("The gate opens at nine. " * 3000)
    long = [Document("The gate opens at nine. " * 3000)]
    asked = {"input": QUESTION, "context": long}
    tool = PaceCorpusTool(session=house_session)
    chat = ChatPace(pace=pace, paths=tmp_path)
    for call in (
        lambda: chat.invoke(QUESTION),
        lambda: list(chat.stream(QUESTION)),
        lambda: chat.batch([QUESTION, QUESTION]),
        lambda: chat.get_num_tokens(QUESTION),
        lambda: PaceLLM(pace=pace, paths=tmp_path).invoke(QUESTION),
        lambda: create_pace_documents_chain(ChatPace(pace=pace)).invoke(asked),
        lambda: create_corpus_qa_chain(ChatPace(pace=pace), long).invoke(asked),
        lambda: create_corpus_qa_chain(ChatPace(pace=pace), tmp_path).invoke(asked),
        lambda: tool.invoke({"question": "long " * 9000}),
    ):
        with pytest.raises(LangChainOverflowError):
            call()
    for later in (
        chat.ainvoke(QUESTION),
        anext(chat.astream(QUESTION)),
        chat.abatch([QUESTION, QUESTION]),
        create_pace_documents_chain(ChatPace(pace=pace)).ainvoke(asked),
        tool.ainvoke({"question": "long " * 9000}),
    ):
        with pytest.raises(LangChainOverflowError):
            await later


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
    assert "".join(chain.stream({"context": documents, "input": QUESTION})) == first
    turned = chain.invoke({"context": documents[::-1], "input": QUESTION})
    assert len(reads) == 1
    # The same answer from the same reading, under the number that the caller's document has.
    assert (first, turned) == ("7:30 [1]", "7:30 [2]")
    for answer, context in ((first, documents), (turned, documents[::-1])):
        (citation,) = answer.citations
        assert context[citation["passage"] - 1].metadata["source"] == citation["source"] == "Garden"
        mark = answer[slice(*citation["mark"])]
        assert mark == f"[{citation['passage']}]"
    chain.invoke({"context": documents[:1], "input": QUESTION})
    assert len(reads) == 2


async def test_marks_are_the_callers_numbers_in_streams_too(embedded: Pace) -> None:
    chain = create_pace_documents_chain(ChatPace(pace=embedded, max_tokens=16))
    documents = [Document(text, metadata={"source": name}) for name, text in TEXTS.items()]
    asked = {"context": [Document(" "), *documents[::-1]], "input": QUESTION}
    whole = chain.invoke(asked)
    assert whole == "7:30 [3]"
    pieces = [piece async for piece in chain.astream(asked)]
    assert "".join(pieces) == whole
    assert reduce(add, pieces).citations == whole.citations
    assert pickle.loads(pickle.dumps(whole)).citations == whole.citations


def test_every_chunk_is_a_passage_of_its_page() -> None:
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
    made = DocumentSet.collect(chunks)
    assert [(d.title, p.index, p.label, p.text) for d, p in made.corpus.pages()] == [
        ("a.pdf", 5, "iv", "Start."),
        ("a.pdf", 5, None, "End."),
        ("b.txt", 1, None, "Alone."),
    ]
    assert made.numbers == {1: 2, 2: 1, 3: 3}


def test_langchain_documents_are_asked_and_ranked_as_they_are(embedded: Pace) -> None:
    documents = [
        Document(text, metadata={"source": name, "author": "Ann"}, id=f"id-{name}")
        for name, text in reversed(TEXTS.items())
    ]
    result = create_corpus_qa_chain(ChatPace(pace=embedded), documents).invoke({"input": QUESTION})
    assert result["answer"] == "7:30 [2]"
    (found,) = result["context"]
    assert (found.id, found.metadata["author"], found.metadata["passage"]) == (
        "id-Garden",
        "Ann",
        2,
    )
    best = PageRetriever.from_documents(documents).invoke(QUESTION)[0]
    assert (best.id, best.metadata["author"], best.metadata["passage"]) == ("id-Garden", "Ann", 2)
    assert "score" not in documents[1].metadata


@pytest.mark.parametrize("wrong", [[], 5, [5], {"a": "b"}])
def test_what_is_no_corpus_is_refused_in_one_line(embedded: Pace, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="LangChain documents or paths"):
        create_corpus_qa_chain(ChatPace(pace=embedded), wrong)


def test_a_chain_over_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a ChatPace"):
        create_corpus_qa_chain("gpt")  # type: ignore[arg-type]
