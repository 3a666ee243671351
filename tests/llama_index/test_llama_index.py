"""The LlamaIndex face: the session's tokens, counted, streamed, traced, never blocking."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from checkpoints import CHATML, byte_tokenizer, save_tiny
from house import QUESTION, SHORT
from llama_index.core.base.llms.types import (
    ChatMessage,
    CitationBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_support import citing, no_default_model, started_jobs, user
from pydantic import BaseModel, ValidationError
from ticking import watch_reading
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from pace_integrations import Corpus, Pace, Session
from pace_integrations.errors import ContextOverflowError, DocumentError, QuestionError
from pace_integrations.llama_index import PaceLLM, PaceQueryEngine, PaceSynthesizer
from pace_integrations.llama_index.nodes import to_corpus


@pytest.fixture
def session(house_session: Session) -> Session:
    return house_session


@pytest.fixture
def expected(session: Session) -> str:
    return session.ask(QUESTION, generation=SHORT).text


@pytest.fixture
def llm(session: Session) -> PaceLLM:
    return PaceLLM(session=session, max_new_tokens=16)


@pytest.fixture
def engine(session: Session) -> PaceQueryEngine:
    return PaceQueryEngine.from_session(session, max_new_tokens=16)


@pytest.fixture(autouse=True)
def _no_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    no_default_model(monkeypatch)


async def test_deltas_join_to_the_text_so_far(llm: PaceLLM, expected: str) -> None:
    text = ""
    for response in llm.stream_complete(QUESTION):
        text += response.delta or ""
        assert response.text == text
    assert text == expected
    deltas = [r.delta async for r in await llm.astream_chat(user(QUESTION))]
    assert "".join(delta or "" for delta in deltas) == expected


async def test_a_first_use_reads_off_the_event_loop(
    pace: Pace, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = watch_reading(monkeypatch)
    lazy = {"pace": pace, "paths": house, "max_new_tokens": 4}
    await PaceLLM(**lazy).acomplete(QUESTION)
    await PaceLLM(**lazy).achat(user(QUESTION))
    async for _ in await PaceLLM(**lazy).astream_chat(user(QUESTION)):
        pass
    await PaceLLM(**lazy).apredict(PromptTemplate("{q}"), q=QUESTION)
    async for _ in await PaceLLM(**lazy).astream(PromptTemplate("{q}"), q=QUESTION):
        pass
    await PaceQueryEngine.from_paths(house, pace=pace, max_new_tokens=4).aquery(QUESTION)
    assert len(threads) == 6
    assert threading.current_thread() not in threads


async def test_what_an_event_loop_asks_of_a_lazy_model_loads_nothing(
    house: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    load = Pace.load

    def watched(*args: object, **kwargs: object) -> Pace:
        threads.append(threading.current_thread())
        return load(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Pace, "load", watched)
    plain = PaceLLM(model=str(tiny_path), max_new_tokens=48)
    llm = PaceLLM(model=str(tiny_path), paths=house, max_new_tokens=48)
    guess = (plain.metadata, llm.metadata)
    synthesizer = PaceSynthesizer(llm)
    assert threads == []
    await plain.astructured_predict(Sign, PromptTemplate("{q}"), q=QUESTION)
    await plain.as_structured_llm(Sign).achat(user(QUESTION))
    await llm.astructured_predict(Sign, PromptTemplate("{q}"), q=QUESTION)
    await synthesizer.asynthesize(QUESTION, [NodeWithScore(node=TextNode(text="The gate."))])
    assert len(threads) == 2
    assert threading.current_thread() not in threads
    assert plain.metadata == guess[0]
    assert llm.metadata.context_window == guess[1].context_window - llm.session.tokens
    for one in (plain, llm):
        one.session.pace.close()


class Sign(BaseModel):
    open: bool


async def test_unknown_models_have_the_frameworks_window_until_they_are_loaded() -> None:
    llm = PaceLLM(model="nobody/nothing")
    assert llm.metadata.context_window == DEFAULT_CONTEXT_WINDOW
    assert llm.metadata.model_name == "nobody/nothing"


def test_usage_lies_where_counters_look(llm: PaceLLM, session: Session) -> None:
    usage = session.ask(QUESTION, generation=SHORT).usage
    # The same prompt again: all but its last token is held.
    cached = (session.tokens, usage.input_tokens - 1)
    responses = (llm.complete(QUESTION), list(llm.stream_complete(QUESTION))[-1])
    for response, tokens in zip(responses, cached, strict=True):
        assert response.raw["usage"] == {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": tokens},
        }


def test_settings_and_overrides(llm: PaceLLM, expected: str) -> None:
    stop = expected[4:6]
    cut = expected[: expected.index(stop)]
    assert llm.complete(QUESTION, stop=[stop]).text == cut
    assert PaceLLM(session=llm.session, stop=[stop]).complete(QUESTION).text == cut
    assert llm.complete(QUESTION, max_new_tokens=3).raw["usage"]["completion_tokens"] <= 3
    with pytest.raises(ValidationError):
        PaceLLM(session=llm.session, max_new_tokens=0)


def test_metadata_is_that_of_the_prompt(llm: PaceLLM, session: Session) -> None:
    metadata = llm.metadata
    assert metadata.context_window == session.pace.context_window - session.tokens
    assert (metadata.num_output, metadata.is_chat_model) == (16, True)
    assert metadata.model_name == session.pace.name


def test_conversations_reach_the_session(llm: PaceLLM, session: Session) -> None:
    turns = [
        ChatMessage(role=MessageRole.SYSTEM, content="Be kind."),
        ChatMessage(role=MessageRole.USER, content="Hi"),
        ChatMessage(role=MessageRole.ASSISTANT, content="Hello"),
        *user(QUESTION),
    ]
    asked = session.ask(
        [{"role": str(turn.role.value), "content": str(turn.content)} for turn in turns],  # type: ignore[typeddict-item]
        generation=SHORT,
    )
    assert llm.chat(turns).message.content == asked.text


def test_a_prompt_begins_once(tmp_path: Path) -> None:
    begin = "<|endoftext|>"
    tokenizer = byte_tokenizer("{{ bos_token }}" + CHATML)
    tokenizer.bos_token = begin
    mark = tokenizer.bos_token_id
    # Llama's and Gemma's tokenizers add the token too, which their templates write already.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, mark)]
    )
    save_tiny(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).encode("x")[0] == mark
    fed: list[int] = []
    with Pace.load(tmp_path, memory=None) as pace:
        llm = PaceLLM(pace=pace, corpus=Corpus.from_texts({"a": "b"}), max_new_tokens=1)
        decoder = pace._engine.loaded.model.get_decoder()
        decoder.register_forward_pre_hook(
            lambda _, args, kwargs: fed.extend(kwargs["input_ids"].flatten().tolist()),
            with_kwargs=True,
        )
        llm.complete(QUESTION)
        assert (fed[0], fed.count(mark)) == (mark, 1)
        llm.chat([ChatMessage("Be kind.", role="system"), *user(QUESTION)])
        assert fed.count(mark) == 1  # what was read is not computed again
        PaceLLM(pace=pace, max_new_tokens=1).chat(user(QUESTION))
        assert fed.count(mark) == 2


def test_blocks_of_text_are_joined(llm: PaceLLM) -> None:
    blocks = [TextBlock(text="When does"), TextBlock(text="the gate open?")]
    whole = llm.chat([ChatMessage(role=MessageRole.USER, blocks=blocks)])
    assert whole.message.content == llm.complete("When does\nthe gate open?").text


def test_a_message_carries_its_citations_and_can_be_sent_back(
    llm: PaceLLM, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    citing(monkeypatch, "7:30 [1], Mondays [2]")
    asked = user(QUESTION)
    answer = session.ask(QUESTION, generation=SHORT)
    tool = FunctionTool.from_defaults(lambda: None, name="look", description="Looks.")
    looked = [*asked, ChatMessage("At 7:30.", role="tool")]
    for said in (
        llm.chat(asked).message,
        list(llm.stream_chat(asked))[-1].message,
        llm.chat_with_tools([tool], chat_history=looked).message,
    ):
        blocks = [block for block in said.blocks if isinstance(block, CitationBlock)]
        assert len(blocks) == len(answer.citations) == 2
        for block, citation in zip(blocks, answer.citations, strict=True):
            place = block.additional_location_info
            text = session.passages[place["passage"] - 1].page.text
            assert block.cited_content.text == text[place["start_char"] : place["end_char"]]
            assert place["page"] == citation.page
        history = [*asked, said, *user("And then?")]
        plain = [*asked, ChatMessage(said.content, role="assistant"), *user("And then?")]
        assert llm.chat(history).message == llm.chat(plain).message


def test_what_it_cannot_take_is_refused(llm: PaceLLM) -> None:
    picture = ChatMessage(role=MessageRole.USER, blocks=[ImageBlock(url="http://x/y.png")])
    with pytest.raises(QuestionError, match="ImageBlock"):
        llm.chat([picture])
    with pytest.raises(QuestionError, match="must end with the user's question"):
        llm.chat([ChatMessage(role=MessageRole.MODEL, content="x")])
    with pytest.raises(ContextOverflowError):
        llm.complete(QUESTION, max_new_tokens=9000)


def counts(response: Any) -> list[int]:
    """Tokens in and out: what is cached depends on what was asked before."""
    return [v for k, v in response.metadata["usage"].items() if k != "prompt_tokens_details"]


def test_a_query_whose_stream_nobody_consumes_stops(session: Session) -> None:
    engine = PaceQueryEngine.from_session(session, max_new_tokens=5000, streaming=True)
    with started_jobs(session) as jobs:
        engine.query(QUESTION)
        assert [job.closed for job in jobs] == [True]


async def test_streaming_responses_bring_their_sources_at_the_end(session: Session) -> None:
    engine = PaceQueryEngine.from_session(session, max_new_tokens=16, streaming=True)
    whole = PaceQueryEngine.from_session(session, max_new_tokens=16).query(QUESTION)
    response = engine.query(QUESTION)
    assert response.metadata == {}
    list(response.response_gen)
    later = await engine.aquery(QUESTION)
    async for _ in later.async_response_gen():
        pass
    for streamed in (response, later):
        assert counts(streamed) == counts(whole)
        assert streamed.source_nodes == whole.source_nodes


def test_the_engine_gives_the_session_answer_and_its_pages(
    engine: PaceQueryEngine, session: Session
) -> None:
    answer = session.ask(QUESTION, generation=SHORT)
    response = engine.query(QUESTION)
    assert response.response == answer.text
    assert response.metadata["usage"]["total_tokens"] == answer.usage.total_tokens
    assert len(response.source_nodes) == len(answer.citations)
    for found, citation in zip(response.source_nodes, answer.citations, strict=True):
        assert found.metadata["page"] == citation.page
        assert found.metadata["file_name"] == "house.pdf"
        assert found.score == citation.score


def test_sources_carry_page_label_quote_and_span(
    engine: PaceQueryEngine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    citing(monkeypatch, "7:30 [1]")
    (source,) = engine.query(QUESTION).source_nodes
    assert source.metadata["page"] == 1
    assert source.metadata["page_label"] == "1"
    assert source.metadata["method"] == "cited"
    start, end = source.metadata["span"]
    assert source.node.get_content()[start:end] == source.metadata["quote"] != ""


def test_documents_of_one_file_are_its_pages(pace: Pace, house: Path, session: Session) -> None:
    pages = [page.text for _, page in session.corpus.pages()]
    documents = [
        LlamaDocument(
            text=text,
            metadata={
                "file_name": "house.pdf",
                "file_path": str(house / "house.pdf"),
                "page_label": str(i),
            },
        )
        for i, text in enumerate(pages, start=1)
    ]
    engine = PaceQueryEngine.from_documents(documents, pace=pace, max_new_tokens=16)
    paths = PaceQueryEngine.from_paths(house, pace=pace, max_new_tokens=16)
    own = engine.session
    assert [p.page for p in own.passages] == [p.page for p in session.passages]
    assert own.tokens == session.tokens
    assert str(engine.query(QUESTION)) == str(paths.query(QUESTION))


def test_documents_without_a_file_are_named_alike_in_every_run(pace: Pace) -> None:
    def corpus() -> Corpus:
        documents = [
            LlamaDocument(text="The oak stands."),
            LlamaDocument(text="Bread.", doc_id="kitchen"),
            LlamaDocument(text=" \n"),
            LlamaDocument(text="Trunks.", metadata={"file_path": Path("attic/trunks.txt")}),
        ]
        return to_corpus(documents)

    first = corpus()
    assert [document.title for document in first.documents] == [
        "Document 1",
        "kitchen",
        "trunks.txt",
    ]
    assert first.documents[-1].source == str(Path("attic/trunks.txt"))
    assert corpus().fingerprint == first.fingerprint


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_documents_without_text_are_refused(pace: Pace, texts: list[str]) -> None:
    documents = [LlamaDocument(text=text) for text in texts]
    with pytest.raises(DocumentError, match=f"none of the {len(texts)} documents holds text"):
        PaceQueryEngine.from_documents(documents, pace=pace)


async def test_a_saved_session_is_opened_on_first_use(
    pace: Pace, session: Session, tmp_path: Path
) -> None:
    session.save(tmp_path / "house.pace")
    engine = PaceQueryEngine.from_session(tmp_path / "house.pace", pace=pace, max_new_tokens=16)
    assert str(await engine.aquery(QUESTION)) == session.ask(QUESTION, generation=SHORT).text
    assert engine.session.tokens == session.tokens


def test_unknown_options_are_refused(session: Session) -> None:
    with pytest.raises(TypeError, match="max_tokns"):
        PaceQueryEngine.from_session(session, max_tokns=3)


@pytest.mark.parametrize("missing", ["llama_index", "llama_index.core"])
def test_without_llama_index_the_door_says_how_to_install_it(missing: str) -> None:
    probe = f"import sys; sys.modules[{missing!r}] = None\nimport pace_integrations.llama_index"
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert (
        result.stderr.strip()
        .splitlines()[-1]
        .endswith("run: pip install 'pace-integrations[llama-index]'")
    )
