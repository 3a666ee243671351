"""The session's answers in, LangChain's messages out: text, tool calls, usage, citations."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    InvalidToolCall,
    ToolCall,
    ToolCallChunk,
)
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import Annotation, ContentBlock, create_citation

from pace_integrations.adapters.citations import describe_support, find_mark, to_plain
from pace_integrations.adapters.tool_calls import Call, CallReader
from pace_integrations.answer import Answer, Usage

PROVIDER = "pace"


def make_usage(usage: Usage, *, fresh: int = 0, kept: bool = True) -> UsageMetadata:
    """Return usage under LangChain's names.

    Args:
        usage: Tokens of the answer.
        fresh: Tokens that count as cached there, but were read for this very answer.
        kept: Whether the rest of the prompt stays in the cache for answers to come.
    """
    read = max(0, usage.cached_tokens - fresh)
    created = usage.input_tokens - read if kept else min(fresh, usage.cached_tokens)
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=InputTokenDetails(cache_read=read, cache_creation=created),
    )


def make_metadata(answer: Answer, model: str, *, called: bool = False) -> dict[str, Any]:
    """Return everything else that is known of an answer, as JSON gives it back."""
    return {
        "model_name": model,
        "model_provider": PROVIDER,
        "finish_reason": "tool_calls" if called else answer.finish_reason,
        "citations": [
            {**to_plain(citation), "mark": find_mark(citation, answer.text)}
            for citation in answer.citations
        ],
        "timings": to_plain(answer.timings),
        "memory": to_plain(answer.memory) if answer.memory else None,
        **describe_support(answer),
    }


class MessageReader:
    """Makes message chunks of the text of an answer as it is written.

    Args:
        calls: Whether the answer may hold tool calls.
    """

    def __init__(self, *, calls: bool) -> None:
        self._reader = CallReader() if calls else None
        self._count = 0

    @property
    def has_called(self) -> bool:
        """True once a tool was called."""
        return self._count > 0

    def push(self, piece: str) -> Iterator[AIMessageChunk]:
        """Yield the chunks that a piece of text completes."""
        yield from map(self._make_chunk, self._reader.push(piece) if self._reader else [piece])

    def finish(self) -> Iterator[AIMessageChunk]:
        """Yield the chunks that are left at the end."""
        yield from map(self._make_chunk, self._reader.finish() if self._reader else [])

    def _make_chunk(self, item: str | Call) -> AIMessageChunk:
        metadata = {"model_provider": PROVIDER}
        if isinstance(item, str):
            return AIMessageChunk(content=item, response_metadata=metadata)
        index, self._count = self._count, self._count + 1
        chunk = ToolCallChunk(
            name=item.name,
            args=item.arguments,
            id=_new_call_id(),
            index=index,
            type="tool_call_chunk",
        )
        return AIMessageChunk(content="", tool_call_chunks=[chunk], response_metadata=metadata)


def make_message(answer: Answer, model: str, usage: UsageMetadata, *, calls: bool) -> AIMessage:
    """Return a whole answer as a message.

    Args:
        answer: The answer.
        model: Name of the model that wrote it.
        usage: Its tokens.
        calls: Whether it may hold tool calls.
    """
    reader = CallReader() if calls else None
    items = [*reader.push(answer.text), *reader.finish()] if reader else [answer.text]
    found = [item for item in items if isinstance(item, Call)]
    return AIMessage(
        content="".join(item for item in items if isinstance(item, str)),
        tool_calls=[_make_tool_call(call) for call in found if call.name is not None],
        invalid_tool_calls=[_make_invalid_call(call) for call in found if call.name is None],
        usage_metadata=usage,
        response_metadata=make_metadata(answer, model, called=bool(found)),
    )


def _make_tool_call(call: Call) -> ToolCall:
    assert call.name is not None
    return ToolCall(
        name=call.name, args=json.loads(call.arguments), id=_new_call_id(), type="tool_call"
    )


def _make_invalid_call(call: Call) -> InvalidToolCall:
    return InvalidToolCall(
        type="invalid_tool_call",
        id=_new_call_id(),
        name=None,
        args=call.arguments,
        error="the text is no call of a tool",
    )


def _new_call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _translate_blocks(message: AIMessage) -> list[ContentBlock]:
    """Return LangChain's own blocks of a message, its text annotated with its citations."""
    plain = {k: v for k, v in message.response_metadata.items() if k != "model_provider"}
    blocks = message.model_copy(update={"response_metadata": plain}).content_blocks
    citations = message.response_metadata.get("citations") or ()
    texts = [block for block in blocks if block["type"] == "text"]
    if citations and not texts:
        texts = [{"type": "text", "text": ""}]
        blocks = [*texts, *blocks]
    if citations:
        texts[-1]["annotations"] = _make_annotations(citations)
    return blocks


def _make_annotations(citations: Sequence[dict[str, Any]]) -> list[Annotation]:
    return [
        create_citation(
            title=citation["document"],
            url=citation["source"],
            start_index=citation["mark"][0] if citation["mark"] else None,
            end_index=citation["mark"][1] if citation["mark"] else None,
            cited_text=citation["quote"],
            document_id=citation["document_id"],
            page=citation["page"],
            page_label=citation["page_label"],
            span=citation["span"],
            method=citation["method"],
            score=citation["score"],
        )
        for citation in citations
    ]


register_translator(PROVIDER, _translate_blocks, _translate_blocks)
