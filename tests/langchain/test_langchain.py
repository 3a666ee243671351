"""The LangChain face: the session's tokens, counted, streamed, never blocking."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import QUESTION, SHORT
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ContextOverflowError as LangChainOverflowError
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from ticking import ticking, watch_reading

from pace_integrations import Corpus, GenerationConfig, Pace, Session
from pace_integrations.errors import ContextOverflowError, QuestionError
from pace_integrations.langchain import ChatPace, PaceLLM


@pytest.fixture
def session(house_session: Session) -> Session:
    return house_session


@pytest.fixture
def expected(session: Session) -> str:
    return session.ask(QUESTION, generation=SHORT).text


@pytest.fixture
def chat(session: Session) -> ChatPace:
    return ChatPace(session=session, max_tokens=16)


def test_a_chain_gives_the_session_answer(chat: ChatPace, expected: str) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | chat | StrOutputParser()
    assert chain.invoke({"question": QUESTION}) == expected
    assert "".join(chain.stream({"question": QUESTION})) == expected
    assert chain.batch([{"question": QUESTION}] * 3) == [expected] * 3


def test_a_model_and_paths_are_loaded_and_read_on_first_use(
    tiny_path: Path, house: Path, pace: Pace
) -> None:
    chat = ChatPace(model=str(tiny_path), paths=[house], memory=pace.memory, max_new_tokens=16)
    assert (
        chat.invoke(QUESTION).content
        == ChatPace(pace=pace, paths=house, max_tokens=16).invoke(QUESTION).content
    )
    chat.loaded.close()


async def test_async_agrees_and_the_loop_goes_on(chat: ChatPace, expected: str) -> None:
    async with ticking() as ticks:
        answer = await chat.ainvoke(QUESTION)
        streamed = [chunk async for chunk in chat.astream(QUESTION)]
    assert answer.content == "".join(chunk.text for chunk in streamed) == expected
    assert ticks.count > 20


@pytest.mark.parametrize("face", [ChatPace, PaceLLM])
async def test_a_first_use_reads_off_the_event_loop(
    face: type[ChatPace] | type[PaceLLM], pace: Pace, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = watch_reading(monkeypatch)
    await face(pace=pace, paths=house, max_tokens=4).ainvoke(QUESTION)
    async for _ in face(pace=pace, paths=house, max_tokens=4).astream(QUESTION):
        pass
    assert len(threads) == 2
    assert threading.current_thread() not in threads


async def test_closing_an_async_stream_stops_the_work(session: Session, expected: str) -> None:
    stream = ChatPace(session=session, max_tokens=5000).astream(QUESTION)
    await anext(stream)
    await stream.aclose()
    assert (await session.aask(QUESTION, generation=SHORT)).text == expected


def test_usage_counts_what_was_read_before(chat: ChatPace, session: Session) -> None:
    whole = chat.invoke(QUESTION)
    chunks = list(chat.stream(QUESTION))
    usage = session.ask(QUESTION, generation=SHORT).usage
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    new = usage.input_tokens - session.tokens
    first = {"cache_read": session.tokens, "cache_creation": new}
    assert isinstance(whole, AIMessage)
    assert whole.usage_metadata == {**counts, "input_token_details": first}
    # The same prompt again: all but its last token is held.
    again = {"cache_read": usage.input_tokens - 1, "cache_creation": 1}
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [
        {**counts, "input_token_details": again}
    ]


def test_response_metadata_is_said_once(chat: ChatPace, session: Session) -> None:
    chunks = list(chat.stream(QUESTION))
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined = joined + chunk
    for metadata in (joined.response_metadata, chat.invoke(QUESTION).response_metadata):
        assert metadata["model_name"] == session.pace.name
        assert metadata["model_provider"] == "pace"
        assert metadata["finish_reason"] in ("stop", "length")
        assert [c["page"] for c in metadata["citations"]] == [
            c.page for c in session.ask(QUESTION, generation=SHORT).citations
        ]


def test_stop_strings_cut_exactly(chat: ChatPace, expected: str) -> None:
    stop = expected[5:8]
    cut = expected[: expected.index(stop)]
    assert chat.invoke(QUESTION, stop=[stop]).content == cut
    assert "".join(c.text for c in chat.stream(QUESTION, stop=[stop])) == cut
    bound = ChatPace(session=chat.session, max_tokens=16, stop=[stop])
    assert bound.invoke(QUESTION).content == cut


def test_settings_of_a_call_win(chat: ChatPace, session: Session) -> None:
    assert chat.invoke(QUESTION, max_tokens=3).usage_metadata["output_tokens"] <= 3
    hot = {"temperature": 1.5, "seed": 7}
    sampled = session.ask(
        QUESTION, generation=GenerationConfig(max_new_tokens=16, temperature=1.5, seed=7)
    )
    assert chat.invoke(QUESTION, **hot).content == sampled.text


def test_system_and_history_reach_the_session(session: Session, chat: ChatPace) -> None:
    turns = [
        SystemMessage("Be kind."),
        HumanMessage("Hi"),
        AIMessage("Hello"),
        HumanMessage([{"type": "text", "text": "When does "}, "the gate open?"]),
    ]
    asked = session.ask(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": QUESTION},
        ],
        generation=SHORT,
    )
    assert chat.invoke(turns).content == asked.text


def test_what_it_cannot_take_is_refused(chat: ChatPace) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(QuestionError, match="image_url"):
        chat.invoke([HumanMessage([picture])])
    with pytest.raises(QuestionError, match="empty"):
        chat.invoke("")
    # pydantic wraps errors of a constructor; its own error is a ValueError with our words.
    with pytest.raises(ValueError, match="session and pace"):
        ChatPace(session=chat.session, pace=chat.session.pace)
    with pytest.raises(ValueError, match="temperature must not be negative"):
        ChatPace(session=chat.session, temperature=-1.0)


async def test_overflow_is_both_classes_everywhere(chat: ChatPace) -> None:
    for error in (ContextOverflowError, LangChainOverflowError):
        with pytest.raises(error):
            chat.invoke(QUESTION, max_tokens=9000)
        with pytest.raises(error):
            list(chat.stream(QUESTION, max_tokens=9000))
        with pytest.raises(error):
            await chat.ainvoke(QUESTION, max_tokens=9000)


def test_an_error_in_generation_reaches_the_stream(
    chat: ChatPace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(session._engine.loaded.model, "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(chat.stream(QUESTION))


def test_closing_a_stream_stops_the_work(session: Session, expected: str) -> None:
    chat = ChatPace(session=session, max_tokens=5000)
    stream = chat.stream(QUESTION)
    next(stream)
    stream.close()
    assert session.ask(QUESTION, generation=SHORT).text == expected


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


def test_configurations_never_share_a_cache_entry(
    cache: InMemoryCache, session: Session, tiny_path: Path, house: Path
) -> None:
    first = ChatPace(session=session, max_tokens=16)
    first.invoke(QUESTION)
    first.invoke(QUESTION)
    assert len(cache._cache) == 1
    with Pace.load(tiny_path, memory=None) as other:
        for chat in (
            ChatPace(session=session, max_tokens=15),
            ChatPace(session=other.read(Corpus.from_paths(house)), max_tokens=16),
            ChatPace(session=session.pace.read(Corpus.from_texts({"a": "b"})), max_tokens=16),
        ):
            chat.invoke(QUESTION)
    assert len(cache._cache) == 4


def test_tokens_are_counted_by_the_model_itself(chat: ChatPace) -> None:
    assert chat.get_num_tokens("seven") == 5


def test_tracing_parameters(chat: ChatPace) -> None:
    params = chat._get_ls_params(stop=["x"])
    assert (params["ls_provider"], params["ls_model_type"]) == ("pace", "chat")
    assert (params["ls_temperature"], params["ls_max_tokens"]) == (0.0, 16)
    assert params["ls_stop"] == ["x"]


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: object) -> None:
        self.seen.append(token)


def test_new_tokens_are_called_back_once(chat: ChatPace, expected: str) -> None:
    for model in (chat, PaceLLM(session=chat.session, max_tokens=16)):
        tokens = Tokens()
        list(model.stream(QUESTION, config={"callbacks": [tokens]}))
        assert "".join(tokens.seen) == expected


async def test_the_completion_model_agrees(session: Session, expected: str) -> None:
    llm = PaceLLM(session=session, max_tokens=16)
    assert llm.invoke(QUESTION) == "".join(llm.stream(QUESTION)) == expected
    assert await llm.ainvoke(QUESTION) == expected
    assert "".join([piece async for piece in llm.astream(QUESTION)]) == expected
    assert llm.invoke(QUESTION, stop=[expected[3:5]]) == expected[: expected.index(expected[3:5])]


def test_without_langchain_the_door_says_how_to_install_it() -> None:
    probe = "import sys; sys.modules['langchain_core'] = None\nimport pace_integrations.langchain"
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert (
        result.stderr.strip()
        .splitlines()[-1]
        .endswith("run: pip install 'pace-integrations[langchain]'")
    )
