"""Calls that come together are answered in one batch, and each fails by itself."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest
import torch
from house import QUESTION
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse
from pydantic import BaseModel

from pace_integrations import Session
from pace_integrations.adapters.expected_calls import expect_calls
from pace_integrations.errors import ContextOverflowError
from pace_integrations.langchain import ChatPace
from pace_integrations.langchain import PaceLLM as LangChainLLM
from pace_integrations.llama_index import PaceLLM
from pace_integrations.model import decode

QUESTIONS = [f"{QUESTION} {i}" for i in range(5)]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions each batch had."""
    seen: list[int] = []
    plain = Session.ask_many

    def watched(self: Session, questions: Any, **options: Any) -> Any:
        seen.append(len(questions))
        return plain(self, questions, **options)

    monkeypatch.setattr(Session, "ask_many", watched)
    return seen


@pytest.fixture
def expected(house_session: Session) -> list[str]:
    chat = ChatPace(session=house_session, max_tokens=6, batch_size=1)
    return [str(chat.invoke(question).content) for question in QUESTIONS]


async def test_every_entry_of_langchain_reaches_one_batch(
    house_session: Session, sizes: list[int], expected: list[str]
) -> None:
    chat = ChatPace(session=house_session, max_tokens=6)
    llm = LangChainLLM(session=house_session, max_tokens=6)
    lists = [[HumanMessage(question)] for question in QUESTIONS]
    ways = {
        "batch": [m.content for m in chat.batch(QUESTIONS)],
        "abatch": [m.content for m in await chat.abatch(QUESTIONS)],
        "chain": (chat | StrOutputParser()).batch(QUESTIONS),
        "generate": [g[0].text for g in chat.generate(lists).generations],
        "agenerate": [g[0].text for g in (await chat.agenerate(lists)).generations],
        "llm batch": llm.batch(QUESTIONS),
        "llm abatch": await llm.abatch(QUESTIONS),
        "llm generate": [g[0].text for g in llm.generate(QUESTIONS).generations],
    }
    assert all(made == expected for made in ways.values()), ways
    assert sizes == [len(QUESTIONS)] * len(ways)


async def test_calls_of_llama_index_that_wait_together_are_one_batch(
    house_session: Session, sizes: list[int], expected: list[str]
) -> None:
    llm = PaceLLM(session=house_session, max_new_tokens=6)
    made = await asyncio.gather(*(llm.acomplete(question) for question in QUESTIONS))
    assert [one.text for one in made] == expected
    asked = ([ChatMessage(question, role="user")] for question in QUESTIONS)
    chats = await asyncio.gather(*(llm.achat(messages) for messages in asked))
    assert [one.message.content for one in chats] == expected
    assert sizes == [len(QUESTIONS)] * 2
    sizes.clear()
    alone = PaceLLM(session=house_session, max_new_tokens=6, batch_size=1)
    await asyncio.gather(*(alone.acomplete(question) for question in QUESTIONS))
    assert sizes == []


async def test_a_call_that_is_given_up_leaves_the_others_of_its_batch(
    house_session: Session, sizes: list[int], expected: list[str]
) -> None:
    llm = PaceLLM(session=house_session, max_new_tokens=6)
    await llm.acomplete(QUESTION)  # alone, and at once
    assert sizes == []
    calls = [asyncio.ensure_future(llm.acomplete(question)) for question in QUESTIONS]
    await asyncio.sleep(0)
    calls[0].cancel()
    made = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(made[0], asyncio.CancelledError)
    assert [one.text for one in made[1:] if isinstance(one, CompletionResponse)] == expected[1:]


class Sign(BaseModel):
    open: bool


async def test_objects_are_made_in_one_batch(house_session: Session, sizes: list[int]) -> None:
    chat = ChatPace(session=house_session, max_tokens=24).with_structured_output(Sign)
    assert all(isinstance(made, Sign) for made in chat.batch(QUESTIONS))
    assert sizes == [len(QUESTIONS)]


async def test_what_does_not_fit_fails_alone(house_session: Session) -> None:
    chat = ChatPace(session=house_session, max_tokens=6)
    mixed = [QUESTION, "long " * 9000, QUESTION]
    for made in (
        chat.batch(mixed, return_exceptions=True),
        await chat.abatch(mixed, return_exceptions=True),
    ):
        assert isinstance(made[1], ContextOverflowError)
        assert made[0].content == made[2].content != ""
    with pytest.raises(ContextOverflowError):
        chat.batch(mixed)


def test_the_callers_limit_of_concurrency_is_kept(
    house_session: Session, sizes: list[int], expected: list[str]
) -> None:
    chat = ChatPace(session=house_session, max_tokens=6)
    made = chat.batch(QUESTIONS, {"max_concurrency": 2})
    assert [message.content for message in made] == expected
    assert sizes
    assert max(sizes) <= 2


async def test_a_cancelled_call_is_missed_by_nobody(
    house_session: Session, expected: list[str]
) -> None:
    llm = PaceLLM(session=house_session, max_new_tokens=6)
    tasks = [asyncio.ensure_future(llm.acomplete(question)) for question in QUESTIONS]
    await asyncio.sleep(0.01)
    tasks[2].cancel()
    made = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(made[2], asyncio.CancelledError)
    texts = [one.text for one in (*made[:2], *made[3:])]  # type: ignore[union-attr]
    assert texts == [*expected[:2], *expected[3:]]
    assert (await llm.acomplete(QUESTIONS[0])).text == expected[0]


async def test_a_call_that_is_cancelled_within_a_batch_is_written_no_further(
    house_session: Session, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: Counter[int] = Counter()
    choose = decode.AnswerWriter.choose_token

    def count(self: decode.AnswerWriter, logits: torch.Tensor) -> Any:
        self._ends = set()  # nothing but the limit ends an answer
        written[id(self)] += 1
        most = max(written.values())
        if most == 5 and len(written) > 1:
            loop.call_soon_threadsafe(tasks[1].cancel)
            reached.wait(20)  # until the loop has heard of it
        return choose(self, logits)

    loop, reached = asyncio.get_running_loop(), threading.Event()
    busy = ChatPace(session=house_session, max_tokens=40)
    with expect_calls(3):
        tasks = [asyncio.ensure_future(busy.ainvoke(question)) for question in QUESTIONS[:3]]
    monkeypatch.setattr(decode.AnswerWriter, "choose_token", count)
    tasks[1].add_done_callback(lambda _: reached.set())
    made = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(made[1], asyncio.CancelledError)
    assert sorted(written.values())[1:] == [40, 40]
    assert min(written.values()) <= 6
