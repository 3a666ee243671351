"""LlamaIndex's own engines, agents and pipelines over this library's components, unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from house import QUESTION
from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ToolCall, ToolCallResult
from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage, TextBlock
from llama_index.core.base.response.schema import Response
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.memory import Memory
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.query_engine.sub_question_query_engine import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import QueryEngineTool
from llama_index.core.vector_stores import SimpleVectorStore
from llama_support import citing, listening, no_default_model, nodes_of, user
from sqlalchemy.ext.asyncio import create_async_engine

from pace_integrations import GenerationConfig, Pace, Session
from pace_integrations.errors import DocumentError
from pace_integrations.llama_index import (
    CitedPageRetriever,
    PaceChatEngine,
    PaceCorpusTool,
    PaceLLM,
    PaceMemoryBlock,
    PaceQueryEngine,
    PaceReadEndEvent,
    PaceReader,
    PaceReadProgressEvent,
    PaceReadStartEvent,
    PaceSynthesizer,
)


@pytest.fixture(autouse=True)
def _no_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    no_default_model(monkeypatch)


@pytest.fixture
def session(house_session: Session) -> Session:
    return house_session


@pytest.fixture
def llm(session: Session) -> PaceLLM:
    return PaceLLM(session=session, max_new_tokens=8)


@pytest.fixture
def retriever(session: Session) -> CitedPageRetriever:
    return CitedPageRetriever.from_session(session, max_new_tokens=8)


@pytest.fixture
def tools(session: Session) -> list[QueryEngineTool]:
    engine = PaceQueryEngine.from_session(session, max_new_tokens=8)
    return [
        QueryEngineTool.from_defaults(engine, name=name, description=f"Papers of the {name}.")
        for name in ("house", "garden")
    ]


@asynccontextmanager
async def remembering(**options: Any) -> AsyncIterator[Memory]:
    """An agent's memory whose database is closed in the end."""
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    try:
        yield Memory.from_defaults(async_engine=engine, tokenizer_fn=str.split, **options)
    finally:
        await engine.dispose()


def reads(events: list[Any]) -> int:
    return sum(event.class_name() == "PaceReadStartEvent" for event in events)


async def test_a_retriever_returns_pages_and_the_synthesizer_reads_them_once(
    llm: PaceLLM, retriever: CitedPageRetriever
) -> None:
    engine = RetrieverQueryEngine.from_args(
        retriever, llm=llm, response_synthesizer=PaceSynthesizer(llm)
    )
    with listening() as events:
        response = engine.query(QUESTION)
        later = await engine.aquery(QUESTION)
    assert reads(events) == 1
    assert isinstance(response, Response)
    assert {node.metadata["page"] for node in response.source_nodes} <= {1, 2}
    assert response.metadata["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert [n.node.id_ for n in later.source_nodes] == [n.node.id_ for n in response.source_nodes]


async def test_the_default_synthesizer_works_over_the_llm(
    llm: PaceLLM, retriever: CitedPageRetriever
) -> None:
    for mode in ("compact", "tree_summarize"):
        synthesizer = get_response_synthesizer(llm=llm, response_mode=mode)
        engine = RetrieverQueryEngine.from_args(
            retriever, llm=llm, response_synthesizer=synthesizer
        )
        assert str(engine.query(QUESTION)) == str(await engine.aquery(QUESTION)) != ""


def test_one_set_of_nodes_is_read_once_in_any_order(llm: PaceLLM, session: Session) -> None:
    synthesizer, nodes = PaceSynthesizer(llm, keep=1), nodes_of(session)
    with listening() as events:
        first = synthesizer.synthesize(QUESTION, nodes)
        again = synthesizer.synthesize(QUESTION, [*reversed(nodes), nodes[0]])
        assert reads(events) == 1
        synthesizer.synthesize(QUESTION, nodes[:1])
        synthesizer.synthesize(QUESTION, nodes)  # only one set is kept
        assert reads(events) == 3
    own = session.ask(QUESTION, generation=GenerationConfig(max_new_tokens=8))
    assert first.response == again.response == own.text
    assert [n.metadata["page_label"] for n in first.source_nodes] == ["1", "2"]


def test_marks_in_an_answer_point_to_source_nodes(
    llm: PaceLLM, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    citing(monkeypatch, "Mondays [2]")
    extra = NodeWithScore(node=TextNode(text="unread"), score=0.1)
    synthesizer = PaceSynthesizer(llm)
    sources = synthesizer.synthesize(QUESTION, nodes_of(session), [extra]).source_nodes
    assert sources[2] is extra
    assert "quote" not in sources[0].metadata
    cited = sources[1]
    start, end = cited.metadata["span"]
    assert cited.text[start:end] == cited.metadata["quote"] != ""
    assert cited.metadata["quote_score"] > 0
    assert cited.score == 0.5
    assert "quote" not in nodes_of(session)[0].metadata


async def test_nothing_to_read_is_said(llm: PaceLLM) -> None:
    synthesizer = PaceSynthesizer(llm, empty_response="Nothing.")
    blank = [NodeWithScore(node=TextNode(text=" "))]
    assert str(synthesizer.synthesize(QUESTION, blank)) == "Nothing."
    assert str(await synthesizer.asynthesize(QUESTION, [])) == "Nothing."


async def test_texts_alone_are_read(llm: PaceLLM, session: Session) -> None:
    texts = [passage.page.text for passage in session.passages]
    synthesizer = PaceSynthesizer(llm)
    said = synthesizer.get_response(QUESTION, texts)
    assert said == await synthesizer.aget_response(QUESTION, texts) != ""
    streaming = PaceSynthesizer(llm, streaming=True)
    assert "".join(streaming.get_response(QUESTION, texts)) == said
    later = await streaming.aget_response(QUESTION, texts)
    assert "".join([piece async for piece in later]) == said


async def test_retrieved_pages_are_cited_first_and_never_twice(session: Session) -> None:
    for most in (1, 2, 5):
        retriever = CitedPageRetriever.from_session(
            session, max_new_tokens=8, similarity_top_k=most
        )
        found = retriever.retrieve("When does the gate open, and when is bread baked?")
        assert len(found) == min(most, 2)
        assert len({node.metadata["page"] for node in found}) == len(found)
        again = await retriever.aretrieve("When does the gate open, and when is bread baked?")
        assert [n.node.id_ for n in again] == [n.node.id_ for n in found]


async def test_citation_engines(llm: PaceLLM, retriever: CitedPageRetriever) -> None:
    plain = CitationQueryEngine.from_args(retriever=retriever, llm=llm, index=None)
    ours = CitationQueryEngine.from_args(
        retriever=retriever, llm=llm, index=None, response_synthesizer=PaceSynthesizer(llm)
    )
    for engine in (plain, ours):
        response = engine.query(QUESTION)
        assert str(response) == str(await engine.aquery(QUESTION)) != ""
        assert response.source_nodes
    assert not any("Source " in node.text for node in response.source_nodes)


@pytest.mark.parametrize(("multi", "text"), [(False, False), (True, False), (True, True)])
async def test_routers_choose_tools_that_exist(
    llm: PaceLLM, tools: list[QueryEngineTool], multi: bool, text: bool
) -> None:
    chooser = llm.model_copy(update={"max_new_tokens": 512})
    given: dict[str, Any] = {"llm": chooser, "select_multi": multi}  # core's Pydantic selectors
    if text:
        selector = LLMMultiSelector if multi else LLMSingleSelector
        given = {"llm": llm, "selector": selector.from_defaults(llm=chooser)}
    engine = RouterQueryEngine.from_defaults(
        tools, summarizer=get_response_synthesizer(llm=llm), **given
    )
    asked = engine.query(QUESTION) if multi else await engine.aquery(QUESTION)
    chosen = asked.metadata["selector_result"].selections
    assert {choice.index for choice in chosen} <= {0, 1}
    assert str(asked)


async def test_sub_questions_go_to_tools_that_exist(
    llm: PaceLLM, tools: list[QueryEngineTool]
) -> None:
    short = get_response_synthesizer(llm=llm)
    llm = llm.model_copy(update={"max_new_tokens": 1200})
    engine = SubQuestionQueryEngine.from_defaults(
        tools,
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        response_synthesizer=short,
    )
    with listening() as events:
        response = await engine.aquery(QUESTION)
    asked = [e for e in events if e.class_name() == "QueryStartEvent"]
    assert len(asked) >= 2  # the question and at least one part of it
    assert str(response)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
async def test_an_agent_uses_a_query_engine(llm: PaceLLM, tools: list[QueryEngineTool]) -> None:
    llm = llm.model_copy(update={"max_new_tokens": 96})
    agent = FunctionAgent(tools=tools[:1], llm=llm)
    async with remembering() as memory:
        handler = agent.run(user_msg=QUESTION, max_iterations=8, memory=memory)
        events = [event async for event in handler.stream_events()]
        result = await handler
    calls = [e for e in events if type(e) is ToolCall]
    results = [e for e in events if isinstance(e, ToolCallResult)]
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == [
        ("house", {"input": QUESTION})
    ]
    assert results[0].tool_output.raw_output.source_nodes is not None
    assert result.response.role == "assistant"


async def test_the_corpus_tool_says_where_an_answer_stands(
    tools: list[QueryEngineTool], monkeypatch: pytest.MonkeyPatch
) -> None:
    citing(monkeypatch, "7:30 [1], Mondays [2]")
    engine = tools[0].query_engine
    tool = PaceCorpusTool.from_defaults(engine, name="house", description="Papers.")
    output = tool.call(input=QUESTION)
    assert (await tool.acall(input=QUESTION)).content == output.content
    quotes = [source.metadata["quote"] for source in output.raw_output.source_nodes]
    assert output.content == (
        f"{output.raw_output}\nSources:\n"
        f"[1] house.pdf, page 1: {quotes[0]}\n[2] house.pdf, page 2: {quotes[1]}"
    )


async def test_spans_show_what_was_done_for_what(pace: Pace, house: Path) -> None:
    handler, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(handler)
    try:
        with listening() as events:
            PaceQueryEngine.from_paths(house, pace=pace, max_new_tokens=4).query(QUESTION)
            lazy = PaceQueryEngine.from_paths(house, pace=pace, max_new_tokens=4)
            await lazy.aquery(QUESTION)
    finally:
        root.span_handlers.remove(handler)
    names = {span.id_: span.id_.rsplit("-", 5)[0] for span in handler.completed_spans}
    assert not handler.open_spans
    assert {(names[s.id_], names.get(s.parent_id)) for s in handler.completed_spans} == {
        ("PaceQueryEngine.query", None),
        ("PaceQueryEngine._query", "PaceQueryEngine.query"),
        ("read", "PaceQueryEngine._query"),
        ("PaceLLM.complete", "PaceQueryEngine._query"),
        ("PaceQueryEngine.aquery", None),
        ("PaceQueryEngine._aquery", "PaceQueryEngine.aquery"),
        ("read", "PaceQueryEngine._aquery"),
        ("PaceLLM.acomplete", "PaceQueryEngine._aquery"),
    }
    spans = {e.class_name(): names[e.span_id] for e in events}
    assert spans["PaceReadStartEvent"] == spans["PaceReadProgressEvent"] == "read"
    assert spans["PaceReadEndEvent"] == "read"
    assert spans["PaceMemoryEvent"] == "PaceLLM.acomplete"


def test_upserts_skip_what_has_not_changed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The oak stands near the pond.")
    (tmp_path / "b.txt").write_text("Bread is baked on Mondays.")

    def documents() -> list[LlamaDocument]:
        reader = SimpleDirectoryReader(tmp_path, file_extractor=PaceReader().extractor())
        return reader.load_data()

    pipeline = IngestionPipeline(
        transformations=[MockEmbedding(embed_dim=2)],
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        vector_store=SimpleVectorStore(),
    )
    assert len(pipeline.run(documents=documents())) == 2
    assert pipeline.run(documents=documents()) == []
    (tmp_path / "b.txt").write_text("Bread is baked on Tuesdays.")
    (changed,) = pipeline.run(documents=documents())
    assert "Tuesdays" in changed.get_content()
    (tmp_path / "a.txt").unlink()
    assert pipeline.run(documents=documents()) == []
    assert len(pipeline.docstore.docs) == 1


def test_a_vector_index_can_retrieve_for_the_synthesizer(llm: PaceLLM, session: Session) -> None:
    nodes = [found.node for found in nodes_of(session)]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=2))
    engine = index.as_query_engine(
        llm=llm, response_synthesizer=PaceSynthesizer(llm), similarity_top_k=2
    )
    response = engine.query(QUESTION)
    assert [n.metadata["page_label"] for n in response.source_nodes] == ["1", "2"]


def papers(**texts: str) -> list[LlamaDocument]:
    return [
        LlamaDocument(text=text, metadata={"file_name": f"{name}.txt", "file_path": f"{name}.txt"})
        for name, text in texts.items()
    ]


async def test_a_changed_document_rereads_only_what_follows_it(pace: Pace) -> None:
    long = "The oak stands near the pond. " * 40
    texts = {"a": long, "b": long.replace("oak", "elm"), "c": "Bread is baked on Mondays."}
    engine = PaceQueryEngine.from_documents(papers(**texts), pace=pace, max_new_tokens=8)
    engine.query(QUESTION)
    whole = engine.session.tokens
    with listening() as events:
        change = engine.refresh(papers(c="Bread is baked on Tuesdays."))
    assert change.kept > 0.9 * whole
    assert change.read < 0.1 * whole
    told = [e for e in events if e.class_name().startswith("PaceRead")]
    assert [type(e) for e in told] == [PaceReadStartEvent, PaceReadProgressEvent, PaceReadEndEvent]
    assert (told[0].documents, told[0].pages) == (1, 1)
    assert told[1].done == told[1].total == told[2].read == change.read
    assert told[2].tokens == engine.session.tokens
    assert len({e.span_id for e in told}) == 1
    fresh = PaceQueryEngine.from_documents(
        papers(**{**texts, "c": "Bread is baked on Tuesdays."}), pace=pace, max_new_tokens=8
    )
    assert str(engine.query(QUESTION)) == str(fresh.query(QUESTION))
    assert (await engine.arefresh(papers(c="Bread is baked on Tuesdays."))).read == 0
    with pytest.raises(DocumentError, match="names no file"):
        engine.refresh([LlamaDocument(text="Which one is this?")])


def test_marked_beginnings_are_computed_once(llm: PaceLLM, session: Session) -> None:
    rules = "Be kind and brief. " * 20

    def asked(question: str, *, marked: bool) -> Any:
        blocks: list[Any] = [TextBlock(text=rules)]
        if marked:
            blocks.append(CachePoint(cache_control=CacheControl(type="ephemeral")))
        return llm.chat([ChatMessage(role="system", blocks=blocks), *user(question)])

    def cached(response: Any) -> int:
        return int(response.raw["usage"]["prompt_tokens_details"]["cached_tokens"])

    first, second = asked(QUESTION, marked=True), asked("And the bread?", marked=True)
    plain = asked("And the bread?", marked=False)
    assert cached(first) == session.tokens
    for later in (second, plain):  # the mark only says what is held longest
        assert cached(later) >= session.tokens + session.pace.count_tokens(rules)
    assert second.message.content == plain.message.content
    assert second.raw["usage"]["prompt_tokens"] == plain.raw["usage"]["prompt_tokens"]


async def test_chats_remember_and_do_not_compute_again(session: Session) -> None:
    engine = PaceChatEngine.from_session(session, max_new_tokens=8, system_prompt="Be kind.")
    first = engine.chat(QUESTION)
    second = await engine.achat("And the bread?")
    assert second.metadata["usage"]["prompt_tokens_details"]["cached_tokens"] > session.tokens
    history = engine.chat_history
    assert [m.content for m in history] == [QUESTION, str(first), "And the bread?", str(second)]
    llm = PaceLLM(session=session, max_new_tokens=8)
    system = ChatMessage("Be kind.", role="system")
    assert str(second) == llm.chat([system, *history[:3]]).message.content
    assert str(engine.chat("And the bread?", chat_history=history[:2])) == str(second)
    engine.reset()
    assert engine.chat_history == []
    assert str(engine.chat(QUESTION)) == str(first)


def test_a_chat_engine_shows_and_changes_its_system_prompt(session: Session) -> None:
    said = 'Answer with {"kind": 1}.'  # which is no template
    engine = PaceChatEngine.from_session(session, max_new_tokens=8, system_prompt=said)
    (prompt,) = engine.get_prompts().values()
    assert prompt.get_template() == said
    before = engine.chat(QUESTION).metadata["usage"]["prompt_tokens"]
    engine.reset()
    engine.update_prompts({"system_prompt": PromptTemplate("")})
    assert engine.chat(QUESTION).metadata["usage"]["prompt_tokens"] < before
    assert PaceChatEngine.from_session(session).get_prompts().keys() == {"system_prompt"}


async def test_a_turn_counts_when_it_is_complete(session: Session) -> None:
    engine = PaceChatEngine.from_session(session, max_new_tokens=8)
    for _ in engine.stream_chat(QUESTION).response_gen:
        break
    assert engine.chat_history == []
    response = await engine.astream_chat(QUESTION)
    text = "".join([piece async for piece in response.async_response_gen()])
    assert [m.content for m in engine.chat_history] == [QUESTION, text]


async def test_a_memory_block_brings_what_was_read_into_a_conversation(
    llm: PaceLLM, session: Session
) -> None:
    async with remembering(memory_blocks=[PaceMemoryBlock(llm=llm)]) as memory:
        await memory.aput(*user(QUESTION))
        messages = await memory.aget()
    assert str(llm.complete(QUESTION)) in str(messages[0].content)
    assert await PaceMemoryBlock(llm=llm).aget([]) == ""
