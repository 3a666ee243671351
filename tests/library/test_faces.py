"""A library in LangChain and in LlamaIndex gives what it gives by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk
from langchain_core.retrievers import BaseRetriever
from llama_index.core.base.base_retriever import BaseRetriever as LlamaRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import ConfigError, QuestionError
from pace_integrations.langchain import (
    ChatPaceLibrary,
    PaceLibraryRetriever,
    create_library_qa_chain,
)
from pace_integrations.langchain.library import select_with
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.llama_index import PaceLibraryChatEngine
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


def test_langchain_chat_model_answers_as_the_library(library: Library) -> None:
    chat = ChatPaceLibrary(
        library=library, generation=SHORT, options={"selector": "bm25", "strategy": "together"}
    )
    answer = library.ask(QUESTION, generation=SHORT, selector="bm25", strategy="together")
    whole, later = chat.invoke(QUESTION), asyncio.run(chat.ainvoke(QUESTION))

    async def stream() -> list[AIMessageChunk]:
        return [piece async for piece in chat.astream(QUESTION)]

    streams = (list(chat.stream(QUESTION)), asyncio.run(stream()))
    assert all(len(pieces) > 2 for pieces in streams)
    for message in (whole, later, *(sum(pieces[1:], pieces[0]) for pieces in streams)):
        assert message.text == answer.text
        metadata = message.response_metadata
        assert metadata["evidence"][0]["quote"] == answer.evidence[0].quote
        assert metadata["support"] == answer.support
        assert metadata["selection"]["strategy"] == "together"
        assert [c["passage"] for c in metadata["citations"]] == [
            c.passage for c in answer.citations
        ]
        assert message.usage_metadata["output_tokens"] == answer.usage.output_tokens
    assert chat.invoke(QUESTION, max_tokens=2).usage_metadata["output_tokens"] == 2
    turns = [("user", "Is there a castle?"), ("assistant", "Yes."), ("user", QUESTION)]
    roles = [{"role": role, "content": text} for role, text in turns]
    assert chat.invoke(turns).text == library.ask(roles, generation=SHORT, **chat.options).text
    with pytest.raises(ConfigError, match="did you mean"):
        chat.invoke(QUESTION, max_token=2)
    # A cache of answers must not give those about other pages.
    before = chat._identifying_params
    library.add(Corpus.from_texts({"mill": "The mill has a wheel."}))
    assert chat._identifying_params != before


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
        {"file_path": "station", "page_label": "1"},
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


class FixedNodes(LlamaRetriever):
    """Gives the same nodes for every question."""

    def __init__(self, *metadata: dict[str, object]) -> None:
        super().__init__()
        self._found = [NodeWithScore(node=TextNode(text="x", metadata=m)) for m in metadata]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._found


@pytest.mark.parametrize(
    "metadata",
    [{"passage": 6}, {"file_path": "station", "page": 2}, {"file_name": "station", "page": 2}],
)
def test_a_retriever_of_llama_index_chooses_the_pages(
    library: Library, metadata: dict[str, object]
) -> None:
    selector = llama.select_with(FixedNodes({"file_path": "elsewhere"}, metadata), "mine")
    answer = library.ask(QUESTION, selector=selector, generation=SHORT)
    assert answer.selection.selector == "mine"
    assert [(p.document, p.page) for p in answer.selection.pages] == [("station", 2)]


def test_llama_index_chat_engine_keeps_the_turns(library: Library) -> None:
    options = {"generation": SHORT, "selector": "bm25", "strategy": "together"}
    library.remove("harbor")  # numbers are not places
    engine = PaceLibraryChatEngine(library, system_prompt="Be brief.", **options)
    first = engine.chat("Who rings a bell at the bakery?")
    system = {"role": "system", "content": "Be brief."}
    asked = [system, {"role": "user", "content": "Who rings a bell at the bakery?"}]
    answer = library.ask(asked, **options)
    assert first.response == answer.text
    assert first.metadata["evidence"][0]["quote"] == answer.evidence[0].quote
    assert [n.metadata["title"] for n in first.source_nodes] == [
        c.document for c in answer.citations
    ]
    told = [*asked, {"role": "assistant", "content": answer.text}]
    expected = library.ask([*told, {"role": "user", "content": QUESTION}], **options).text
    history = engine.chat_history
    streamed = engine.stream_chat(QUESTION)
    assert "".join(streamed.response_gen) == expected
    assert [m.content for m in engine.chat_history[2:]] == [QUESTION, expected]

    async def ask() -> tuple[str, str]:
        whole = await engine.achat(QUESTION, history)
        stream = await engine.astream_chat(QUESTION, history)
        return whole.response, "".join([piece async for piece in stream.async_response_gen()])

    assert asyncio.run(ask()) == (expected, expected)
    engine.reset()
    assert engine.chat_history == []


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
