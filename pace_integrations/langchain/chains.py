"""Chains over whole documents, with the keys of LangChain's retrieval chains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, closing
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.output_parsers import BaseOutputParser, StrOutputParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda
from langchain_core.runnables.utils import AddableDict

from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError
from pace_integrations.langchain.chat_models import ChatPace
from pace_integrations.langchain.document_loaders import page_document
from pace_integrations.langchain.readings import Readings
from pace_integrations.session import Session

Inputs = Mapping[str, Any]


def create_corpus_qa_chain(
    llm: ChatPace, corpus: Corpus | Session | None = None
) -> Runnable[dict[str, Any], dict[str, Any]]:
    """A chain that answers questions from everything a corpus says.

    Its input has ``input``, the question, and may have ``chat_history``, messages before it. Its
    output has ``input``, ``answer``, ``citations`` (plain dicts, the best first) and ``context``,
    the cited pages as documents. While it is streamed, pieces of the answer come first.

    Args:
        llm: The model.
        corpus: What is asked; None asks what the model's own session has read.

    Raises:
        ConfigError: The model is no `ChatPace`.
    """
    answerers = _Answerers(_checked(llm), corpus)

    def stream(inputs: Iterator[Inputs]) -> Iterator[AddableDict]:
        asked = _joined(inputs)
        yield AddableDict(input=asked["input"])
        model, whole = answerers.get(), AIMessageChunk(content="")
        with closing(model.stream(_messages(asked))) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                whole = whole + chunk
                if chunk.text:
                    yield AddableDict(answer=chunk.text)
        yield _sources(whole, model)

    async def astream(inputs: AsyncIterator[Inputs]) -> AsyncIterator[AddableDict]:
        asked = _joined([part async for part in inputs])
        yield AddableDict(input=asked["input"])
        model = await asyncio.to_thread(answerers.get)
        whole = AIMessageChunk(content="")
        async with aclosing(model.astream(_messages(asked))) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                whole = whole + chunk
                if chunk.text:
                    yield AddableDict(answer=chunk.text)
        yield _sources(whole, model)

    return RunnableGenerator(stream, astream).with_config(run_name="corpus_qa")


def create_pace_documents_chain(
    llm: ChatPace,
    *,
    output_parser: BaseOutputParser[Any] | None = None,
    held: int = 4,
) -> Runnable[dict[str, Any], Any]:
    """A chain that answers from retrieved documents, and reads each set of them once.

    It takes the place of ``create_stuff_documents_chain``: its input has ``context``, documents of
    any retriever, and ``input``, the question, and may have ``chat_history``. The documents come
    in their own order, not in that of the retriever, so that the same set is the same reading.

    Args:
        llm: The model.
        output_parser: What makes the output of the message; text by default.
        held: Most sets of documents that stay read.

    Raises:
        ConfigError: The model is no `ChatPace`.
    """
    readings = Readings(_checked(llm), held)
    ask = RunnableLambda(_messages).with_config(run_name="format_question")

    def route(inputs: Inputs) -> Runnable[Inputs, Any]:
        return ask | readings.model(inputs["context"])

    async def aroute(inputs: Inputs) -> Runnable[Inputs, Any]:
        return ask | await asyncio.to_thread(readings.model, inputs["context"])

    chain: Runnable[Any, Any] = RunnableLambda(route, aroute) | (output_parser or StrOutputParser())
    return chain.with_config(run_name="pace_documents_chain")


class _Answerers:
    """The model over its corpus, read at the first question."""

    def __init__(self, llm: ChatPace, corpus: Corpus | Session | None) -> None:
        self._llm = llm
        self._readings = Readings(llm, 1)
        self._corpus = corpus

    def get(self) -> ChatPace:
        if self._corpus is None:
            return self._llm
        return self._readings.over(self._corpus)


def _checked(llm: Any) -> ChatPace:  # noqa: ANN401 - what is refused may be anything
    if not isinstance(llm, ChatPace):
        raise ConfigError(
            f"the chain needs a ChatPace, not a {type(llm).__name__}; bind and parse around it"
        )
    return llm


def _joined(inputs: Iterable[Inputs]) -> dict[str, Any]:
    """The whole input: a chain before this one may give it key by key."""
    joined: dict[str, Any] = {}
    for part in inputs:
        for key, value in part.items():
            joined[key] = joined[key] + value if key in joined else value
    if "input" not in joined:
        raise ConfigError("the chain's input must have the key 'input', the question")
    return joined


def _messages(inputs: Inputs) -> list[BaseMessage]:
    return [*inputs.get("chat_history", ()), HumanMessage(inputs["input"])]


def _sources(message: AIMessageChunk, model: ChatPace) -> AddableDict:
    """What comes after the answer: citations, and the pages they name."""
    citations = message.response_metadata.get("citations", [])
    passages = {passage.number: passage for passage in model.passages}
    named = dict.fromkeys(citation["passage"] for citation in citations)
    context: list[Document] = [
        page_document(passages[n].document, passages[n].page, passage=n) for n in named
    ]
    return AddableDict(citations=citations, context=context)
