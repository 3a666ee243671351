"""What every component promises in every form: one answer, its events, its tokens, its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from house import QUESTION
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_support import (
    TEXT_WAYS,
    WAYS,
    Forms,
    listening,
    no_default_model,
    opened_sockets,
    started_jobs,
)
from ticking import ticking

from pace_integrations import GenerationConfig, Session

SHORT = GenerationConfig(max_new_tokens=8)
TOKENS = SHORT.max_new_tokens


@pytest.fixture(autouse=True)
def _no_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    no_default_model(monkeypatch)


@pytest.fixture
def session(house_session: Session) -> Session:
    return house_session


@pytest.fixture
def expected(session: Session) -> str:
    return session.ask(QUESTION, generation=SHORT).text


@pytest.fixture(params=[*WAYS])
def way(request: pytest.FixtureRequest) -> Callable[..., Forms]:
    return WAYS[request.param]


@pytest.fixture(params=[*TEXT_WAYS])
def text_way(request: pytest.FixtureRequest) -> Callable[..., Forms]:
    return TEXT_WAYS[request.param]


@pytest.fixture(params=[way for way in WAYS if way not in ("retrieving", "calling")])
def streaming_way(request: pytest.FixtureRequest) -> Callable[..., Forms]:
    """What gives pieces before it ends: a tool call is whole or not there."""
    return WAYS[request.param]


async def test_all_forms_agree_and_open_no_socket(
    way: Callable[..., Forms], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_sockets(monkeypatch) as made:
        texts = await way(session, max_new_tokens=TOKENS).all(QUESTION)
    assert texts == [texts[0]] * len(texts)
    assert texts[0]
    assert made == []


async def test_texts_are_the_sessions_token_by_token(
    text_way: Callable[..., Forms], session: Session, expected: str
) -> None:
    forms = text_way(session, max_new_tokens=TOKENS)
    assert forms.call(QUESTION) == expected
    pieces = [piece for piece in forms.stream(QUESTION) if piece]
    assert [piece async for piece in forms.astream(QUESTION) if piece] == pieces
    with session.stream(QUESTION, generation=SHORT) as stream:
        assert pieces == list(stream)


async def test_every_form_emits_its_events_and_is_counted(
    way: Callable[..., Forms], session: Session
) -> None:
    counter = TokenCountingHandler(tokenizer=session.pace.token_ids)
    forms = way(session, max_new_tokens=TOKENS, callback_manager=CallbackManager([counter]))
    forms.call(QUESTION)  # what has to be read has been read
    counter.reset_counts()
    with listening() as events:
        texts = await forms.all(QUESTION)
    seen = Counter(event.class_name() for event in events)
    for name in (*forms.events, "PaceMemoryEvent"):
        assert seen[name] == len(texts), name
    assert not [name for name in seen if name.startswith("PaceRead")]
    assert all(event.span_id for event in events)
    usages = [
        {**event.response.raw["usage"], "prompt_tokens_details": None}
        for event in events
        if event.class_name() in ("LLMChatEndEvent", "LLMCompletionEndEvent")
    ]
    assert len(usages) == len(texts)
    assert usages == [usages[0]] * len(usages)
    assert usages[0]["prompt_tokens"] > session.tokens
    assert counter.completion_llm_token_count == len(usages) * usages[0]["completion_tokens"]
    assert counter.prompt_llm_token_count == len(usages) * usages[0]["prompt_tokens"]


async def test_the_event_loop_goes_on(way: Callable[..., Forms], session: Session) -> None:
    forms = way(session, max_new_tokens=TOKENS)
    async with ticking() as ticks:
        await forms.acall(QUESTION)
        assert ticks.count > 5
        before = ticks.count
        if forms.astream:
            async for _ in forms.astream(QUESTION):
                pass
            assert ticks.count > before + 5


async def test_stop_strings_end_every_form(
    text_way: Callable[..., Forms], session: Session, expected: str
) -> None:
    stop = expected[4:6]
    forms = text_way(session, max_new_tokens=TOKENS, stop=[stop])
    assert await forms.all(QUESTION) == [expected[: expected.index(stop)]] * 4


async def test_errors_arrive_at_once_in_every_form(
    way: Callable[..., Forms], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = way(session, max_new_tokens=TOKENS)
    expected = forms.call(QUESTION)

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(session._engine.loaded.model, "forward", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            forms.call(QUESTION)
        with pytest.raises(RuntimeError, match="out of memory"):
            await forms.acall(QUESTION)
        if forms.stream and forms.astream:
            with pytest.raises(RuntimeError, match="out of memory"):
                list(forms.stream(QUESTION))
            with pytest.raises(RuntimeError, match="out of memory"):
                [_ async for _ in forms.astream(QUESTION)]
    assert forms.call(QUESTION) == expected


async def test_a_closed_or_dropped_stream_stops(
    streaming_way: Callable[..., Forms], session: Session
) -> None:
    forms: Any = streaming_way(session, max_new_tokens=5000)
    warm = forms.stream(QUESTION)
    next(iter(warm))
    del warm
    with started_jobs(session) as jobs:
        stream: Any = forms.stream(QUESTION)
        next(stream)
        stream.close()
        del stream
        later: Any = forms.astream(QUESTION)
        await anext(later)
        await later.aclose()
        del later
        await _turns()
        assert [job.closed for job in jobs] == [True, True]


async def test_a_cancelled_task_stops_the_work(way: Callable[..., Forms], session: Session) -> None:
    forms = way(session, max_new_tokens=5000)
    if forms.stream:
        next(iter(forms.stream(QUESTION)))
    with started_jobs(session) as jobs:
        task = asyncio.ensure_future(forms.acall(QUESTION))
        while not jobs:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _turns()
        assert [job.closed for job in jobs] == [True]


async def _turns() -> None:
    """Turns of the loop, in which it closes generators that were dropped."""
    for _ in range(30):
        await asyncio.sleep(0)
