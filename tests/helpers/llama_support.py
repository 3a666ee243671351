"""What the LlamaIndex tests share: the forms of every component, jobs and events to look at."""

from __future__ import annotations

import copy
import gc
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from pace_integrations import Session
from pace_integrations.llama_index import (
    CitedPageRetriever,
    PaceChatEngine,
    PaceLLM,
    PaceQueryEngine,
    PaceSynthesizer,
)


def no_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the global LLM or embedding would get OpenAI's."""

    def refuse(self: object) -> None:
        raise AssertionError("Settings was asked for a model")

    monkeypatch.setattr(type(Settings), "llm", property(refuse))
    monkeypatch.setattr(type(Settings), "embed_model", property(refuse))


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=text)]


@contextmanager
def started_jobs(session: Session) -> Iterator[list[Any]]:
    """The jobs that are started from now on; no garbage collection comes to close them."""
    started: list[Any] = []
    owner = session._engine.thread
    submit = owner._submit

    def watched(*args: Any) -> Any:
        started.append(submit(*args))
        return started[-1]

    owner._submit = watched  # type: ignore[method-assign]
    gc.disable()
    try:
        yield started
    finally:
        gc.enable()
        del owner._submit


class _Handler(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


@contextmanager
def listening() -> Iterator[list[Any]]:
    """The events that are dispatched from now on."""
    handler, root = _Handler(), get_dispatcher()
    root.add_event_handler(handler)
    try:
        yield handler.seen
    finally:
        root.event_handlers.remove(handler)


@contextmanager
def opened_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The sockets that anybody makes from now on, other than pairs within the process."""
    made: list[object] = []
    plain = socket.socket

    class Watched(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(args)
            super().__init__(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Watched)
        yield made


@dataclass(frozen=True)
class Forms:
    """One way to ask, in its forms; each gives text, streams in pieces where there are any."""

    call: Callable[[str], str]
    acall: Callable[[str], Awaitable[str]]
    stream: Callable[[str], Iterator[str]] | None
    astream: Callable[[str], AsyncIterator[str]] | None
    events: tuple[str, ...]
    whole: Callable[[list[str]], str] = "".join

    async def all(self, question: str) -> list[str]:
        """The texts of all forms."""
        texts = [self.call(question), await self.acall(question)]
        if self.stream and self.astream:
            texts.append(self.whole(list(self.stream(question))))
            texts.append(self.whole([piece async for piece in self.astream(question)]))
        return texts


def completing(session: Session, **settings: Any) -> Forms:
    llm = PaceLLM(session=session, **settings)

    async def astream(question: str) -> AsyncIterator[str]:
        async for step in await llm.astream_complete(question):
            yield step.delta or ""

    async def acall(question: str) -> str:
        return (await llm.acomplete(question)).text

    return Forms(
        lambda question: llm.complete(question).text,
        acall,
        lambda question: (step.delta or "" for step in llm.stream_complete(question)),
        astream,
        ("LLMCompletionStartEvent", "LLMCompletionEndEvent"),
    )


def chatting(session: Session, tools: Any = None, **settings: Any) -> Forms:
    llm = PaceLLM(session=session, **settings)

    async def astream(question: str) -> AsyncIterator[str]:
        async for step in await llm.astream_chat(user(question)):
            yield step.delta or ""

    async def acall(question: str) -> str:
        return str((await llm.achat(user(question))).message.content)

    return Forms(
        lambda question: str(llm.chat(user(question)).message.content),
        acall,
        lambda question: (step.delta or "" for step in llm.stream_chat(user(question))),
        astream,
        ("LLMChatStartEvent", "LLMChatEndEvent"),
    )


def predicting(session: Session, **settings: Any) -> Forms:
    llm = PaceLLM(session=session, **settings)
    prompt = PromptTemplate("{question}")

    async def astream(question: str) -> AsyncIterator[str]:
        async for piece in await llm.astream(prompt, question=question):
            yield piece

    return Forms(
        lambda question: llm.predict(prompt, question=question),
        lambda question: llm.apredict(prompt, question=question),
        lambda question: llm.stream(prompt, question=question),
        astream,
        ("LLMPredictStartEvent", "LLMChatStartEvent", "LLMChatEndEvent"),
    )


def querying(session: Session, **settings: Any) -> Forms:
    engine = PaceQueryEngine.from_session(session, **settings)
    streaming = PaceQueryEngine.from_session(session, streaming=True, **settings)

    async def astream(question: str) -> AsyncIterator[str]:
        response = await streaming.aquery(question)
        async for piece in response.response_gen:
            yield piece

    async def acall(question: str) -> str:
        return str(await engine.aquery(question))

    return Forms(
        lambda question: str(engine.query(question)),
        acall,
        lambda question: streaming.query(question).response_gen,
        astream,
        ("QueryStartEvent", "LLMCompletionStartEvent", "LLMCompletionEndEvent", "QueryEndEvent"),
    )


def conversing(session: Session, **settings: Any) -> Forms:
    """A chat engine; every question starts a conversation of its own."""

    def engine() -> PaceChatEngine:
        return PaceChatEngine.from_session(session, **settings)

    async def astream(question: str) -> AsyncIterator[str]:
        response = await engine().astream_chat(question)
        async for piece in response.async_response_gen():
            yield piece

    async def acall(question: str) -> str:
        return str(await engine().achat(question))

    return Forms(
        lambda question: str(engine().chat(question)),
        acall,
        lambda question: engine().stream_chat(question).response_gen,
        astream,
        ("LLMChatStartEvent", "LLMChatEndEvent"),
    )


def synthesizing(session: Session, **settings: Any) -> Forms:
    """A synthesizer over the pages that the session has read."""
    llm = PaceLLM(session=session, **settings)
    whole = PaceSynthesizer(llm)
    streaming = copy.copy(whole)  # one shelf of what was read
    streaming._streaming = True
    nodes = nodes_of(session)

    async def astream(question: str) -> AsyncIterator[str]:
        response = await streaming.asynthesize(question, nodes)
        async for piece in response.response_gen:
            yield piece

    async def acall(question: str) -> str:
        return str(await whole.asynthesize(question, nodes))

    return Forms(
        lambda question: str(whole.synthesize(question, nodes)),
        acall,
        lambda question: streaming.synthesize(question, nodes).response_gen,
        astream,
        (
            "SynthesizeStartEvent",
            "LLMCompletionStartEvent",
            "LLMCompletionEndEvent",
            "SynthesizeEndEvent",
        ),
    )


def nodes_of(session: Session) -> list[NodeWithScore]:
    """The pages of a session as a retriever would return them, not in order."""
    return [
        NodeWithScore(
            node=TextNode(
                id_=f"node-{passage.number}",
                text=passage.page.text,
                metadata={
                    "file_name": passage.document.title,
                    "page_label": passage.page.label,
                },
            ),
            score=0.5,
        )
        for passage in reversed(session.passages)
    ]


def citing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """From now on answers cite what this text would cite: random weights cite nothing."""
    from pace_integrations.session import base as asking

    cite = asking.resolve_citations
    monkeypatch.setattr(
        asking, "resolve_citations", lambda _, question, pages: cite(text, question, pages)
    )


class Sign(BaseModel):
    """A sign on a door."""

    open: bool
    colour: Literal["red", "blue"]


def structuring(session: Session, **settings: Any) -> Forms:
    """Objects as JSON; a stream gives every state on the way."""
    llm = PaceLLM(session=session, **{**settings, "max_new_tokens": 64})
    prompt = PromptTemplate("{question}")

    async def astream(question: str) -> AsyncIterator[str]:
        stream = await llm.astream_structured_predict(Sign, prompt, question=question)
        async with aclosing(stream):
            async for sign in stream:
                yield sign.model_dump_json()

    async def acall(question: str) -> str:
        made = await llm.astructured_predict(Sign, prompt, question=question)
        return made.model_dump_json()

    def stream(question: str) -> Iterator[str]:
        with closing(llm.stream_structured_predict(Sign, prompt, question=question)) as made:
            yield from (sign.model_dump_json() for sign in made)

    return Forms(
        lambda question: llm.structured_predict(Sign, prompt, question=question).model_dump_json(),
        acall,
        stream,
        astream,
        ("LLMStructuredPredictStartEvent", "LLMChatEndEvent", "LLMStructuredPredictEndEvent"),
        lambda pieces: pieces[-1],
    )


def show(open: bool, colour: Literal["red", "blue"]) -> str:
    """Shows a sign."""
    return f"{colour}, {open}"


def calling(session: Session, **settings: Any) -> Forms:
    """Calls of a tool as JSON; a stream gives them with its last step."""
    llm = PaceLLM(session=session, **{**settings, "max_new_tokens": 96})
    tools = [FunctionTool.from_defaults(show, fn_schema=Sign)]
    options: dict[str, Any] = {"tool_required": True}

    def made(response: Any) -> str:
        return json.dumps([block.model_dump() for block in response.message.blocks])

    async def astream(question: str) -> AsyncIterator[str]:
        stream = await llm.astream_chat_with_tools(tools, question, **options)
        async with aclosing(stream):
            async for response in stream:
                yield made(response)

    async def acall(question: str) -> str:
        return made(await llm.achat_with_tools(tools, question, **options))

    return Forms(
        lambda question: made(llm.chat_with_tools(tools, question, **options)),
        acall,
        lambda question: map(made, llm.stream_chat_with_tools(tools, question, **options)),
        astream,
        ("LLMChatStartEvent", "LLMChatEndEvent"),
        lambda pieces: pieces[-1],
    )


def retrieving(session: Session, **settings: Any) -> Forms:
    """Pages, named by their ids; there is nothing to stream."""
    retriever = CitedPageRetriever.from_session(session, **settings)

    async def acall(question: str) -> str:
        return " ".join(node.node_id for node in await retriever.aretrieve(question))

    return Forms(
        lambda question: " ".join(node.node_id for node in retriever.retrieve(question)),
        acall,
        None,
        None,
        ("RetrievalStartEvent", "LLMCompletionEndEvent", "RetrievalEndEvent"),
    )


TEXT_WAYS: dict[str, Callable[..., Forms]] = {
    way.__name__: way
    for way in (completing, chatting, predicting, querying, conversing, synthesizing)
}
WAYS = TEXT_WAYS | {way.__name__: way for way in (structuring, calling, retrieving)}
