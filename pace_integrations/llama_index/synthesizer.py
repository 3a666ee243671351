"""`PaceSynthesizer`: reads what a retriever returned, whole, and answers from it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    Response,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.indices.prompt_helper import ChatPromptHelper, PromptHelper
from llama_index.core.instrumentation.events.synthesis import (
    SynthesizeEndEvent,
    SynthesizeStartEvent,
)
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.response_synthesizers.base import BaseSynthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE

from pace_integrations.adapters.lru import LruCache
from pace_integrations.answer import Citation
from pace_integrations.llama_index.convert import read_citations
from pace_integrations.llama_index.events import dispatcher, read_corpus
from pace_integrations.llama_index.factories import QuestionPrompt
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.nodes import get_text, make_node_corpus, sort_for_reading
from pace_integrations.llama_index.streaming import (
    amake_streaming_response,
    ayield_deltas,
    make_streaming_response,
    yield_deltas,
)

# `CitationQueryEngine` numbers its nodes in their text; here the prompt does.
_NUMBER = re.compile(r"\ASource \d+:\n")


class PaceSynthesizer(QuestionPrompt, BaseSynthesizer):
    """Reads the nodes that any retriever returns and answers from them.

    A set of nodes is read once, whatever order it comes in and however many questions follow; the
    last `keep` sets stay read. Nothing is repacked or refined. A response's ``source_nodes`` are
    the nodes in reading order, so that ``[n]`` in the answer is ``source_nodes[n - 1]``; those
    that are cited carry ``quote``, ``span``, ``method`` and ``quote_score`` in their metadata.

    Args:
        llm: The model that reads and answers; what it has read itself does not matter.
        keep: Most sets that stay read; each holds its keys and values in memory.
        streaming: Whether responses are streams.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.
        empty_response: What to say when there is no node with text.
        text_qa_template: How a query becomes a question; None asks the query itself.
    """

    def __init__(
        self,
        llm: PaceLLM,
        *,
        keep: int = 4,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
        empty_response: str | None = None,
        text_qa_template: BasePromptTemplate | None = None,
    ) -> None:
        super().__init__(
            llm=llm,
            callback_manager=callback_manager or llm.callback_manager,
            streaming=streaming,
            empty_response=empty_response,
            # Nothing is repacked; the base class's own would load a tokenizer and the model.
            prompt_helper=PromptHelper(tokenizer=str.split),
            chat_prompt_helper=ChatPromptHelper(tokenizer=str.split),
        )
        self._pace_llm = llm
        self._models: LruCache[str, PaceLLM] = LruCache(keep)
        if text_qa_template is not None:
            self._question_template = text_qa_template

    def get_response(
        self,
        query_str: str,
        text_chunks: Sequence[str],
        **response_kwargs: Any,  # noqa: ANN401
    ) -> RESPONSE_TEXT_TYPE:
        """Answer from texts alone, without sources."""
        llm = self._find_model(_NodeSet.from_texts(text_chunks))
        if self._streaming:
            return yield_deltas(llm.stream_complete(self._make_question(query_str)))
        return str(llm.complete(self._make_question(query_str)))

    async def aget_response(
        self,
        query_str: str,
        text_chunks: Sequence[str],
        **response_kwargs: Any,  # noqa: ANN401
    ) -> RESPONSE_TEXT_TYPE:
        """`get_response` without blocking the event loop."""
        llm = await self._afind_model(_NodeSet.from_texts(text_chunks))
        if self._streaming:
            return ayield_deltas(await llm.astream_complete(self._make_question(query_str)))
        return str(await llm.acomplete(self._make_question(query_str)))

    def synthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,  # noqa: ANN401
    ) -> RESPONSE_TYPE:
        """Answer a query from nodes."""
        chosen = _NodeSet.sort(nodes, additional_source_nodes)
        if not chosen.nodes:
            return super().synthesize(query, [])
        with self._synthesis(query) as work:
            llm = self._find_model(chosen)
            if self._streaming:
                work.response = make_streaming_response(
                    llm.stream_complete(work.question), chosen.find_sources
                )
            else:
                said = llm.complete(work.question)
                work.response = Response(said.text, chosen.find_sources(said.raw), said.raw)
        return work.response

    async def asynthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,  # noqa: ANN401
    ) -> RESPONSE_TYPE:
        """`synthesize` without blocking the event loop."""
        chosen = _NodeSet.sort(nodes, additional_source_nodes)
        if not chosen.nodes:
            return await super().asynthesize(query, [])
        with self._synthesis(query) as work:
            llm = await self._afind_model(chosen)
            if self._streaming:
                stream = await llm.astream_complete(work.question)
                work.response = amake_streaming_response(stream, chosen.find_sources)
            else:
                said = await llm.acomplete(work.question)
                work.response = Response(said.text, chosen.find_sources(said.raw), said.raw)
        return work.response

    def _find_model(self, chosen: _NodeSet) -> PaceLLM:
        """Return the model over the session that holds a set of nodes."""
        corpus = make_node_corpus([node.node for node in chosen.nodes])

        def read() -> PaceLLM:
            return self._pace_llm.over(read_corpus(self._pace_llm.session.pace, corpus))

        return self._models.get_or_create(corpus.fingerprint, read)

    async def _afind_model(self, chosen: _NodeSet) -> PaceLLM:
        return await asyncio.to_thread(self._find_model, chosen)

    @contextmanager
    def _synthesis(self, query: QueryType) -> Iterator[_Synthesis]:
        """Dispatch core's events around a synthesis."""
        dispatcher.event(SynthesizeStartEvent(query=query))
        asked = query.query_str if isinstance(query, QueryBundle) else query
        work = _Synthesis(self._make_question(asked))
        payload: dict[str, Any] = {EventPayload.QUERY_STR: work.question}
        with self._callback_manager.event(CBEventType.SYNTHESIZE, payload=payload) as event:
            yield work
            event.on_end(payload={EventPayload.RESPONSE: work.response})
        dispatcher.event(SynthesizeEndEvent(query=query, response=work.response))


@dataclass
class _Synthesis:
    """A question on its way to a response."""

    question: str
    response: RESPONSE_TYPE = None  # type: ignore[assignment]


@dataclass(frozen=True)
class _NodeSet:
    """Nodes in reading order, which is theirs whatever order they came in, and others to name."""

    nodes: Sequence[NodeWithScore]
    others: Sequence[NodeWithScore] = ()

    @classmethod
    def sort(
        cls, nodes: Sequence[NodeWithScore], others: Sequence[NodeWithScore] | None
    ) -> _NodeSet:
        plain = {found.node.id_: _strip_number(found) for found in nodes}
        ordered = sort_for_reading(found.node for found in plain.values())
        return cls([plain[node.id_] for node in ordered], others or ())

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> _NodeSet:
        nodes = [
            TextNode(
                id_=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
                text=text,
                metadata={"title": "Text"},
            )
            for text in texts
        ]
        return cls.sort([NodeWithScore(node=node) for node in nodes], ())

    def find_sources(self, said: Any) -> list[NodeWithScore]:  # noqa: ANN401
        """Return all nodes, the cited ones marked, then the others."""
        found = {citation.passage: citation for citation in read_citations(said)}
        marked = [_mark_cited(node, found.get(n)) for n, node in enumerate(self.nodes, start=1)]
        return [*marked, *self.others]


def _strip_number(found: NodeWithScore) -> NodeWithScore:
    text = get_text(found.node)
    if not (number := _NUMBER.match(text)):
        return found
    node = found.node.model_copy()
    node.set_content(text[number.end() :])
    return NodeWithScore(node=node, score=found.score)


def _mark_cited(found: NodeWithScore, citation: Citation | None) -> NodeWithScore:
    if citation is None:
        return found
    node = found.node.model_copy()
    node.metadata = {
        **node.metadata,
        "quote": citation.quote,
        "span": list(citation.span),
        "method": citation.method,
        "quote_score": citation.score,
    }
    return NodeWithScore(node=node, score=found.score)
