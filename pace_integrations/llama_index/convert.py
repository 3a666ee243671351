"""LlamaIndex's messages in, its responses out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.schema import NodeWithScore, TextNode

from pace_integrations.adapters.tool_calls import call_text, result_text
from pace_integrations.answer import Answer, Citation
from pace_integrations.errors import QuestionError
from pace_integrations.model.prompts import Message
from pace_integrations.session import Session

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
}


def to_messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """The session's messages.

    Raises:
        QuestionError: A message has a role, or holds a block, that the session cannot take.
    """
    return [_message(message) for message in messages]


def _message(message: ChatMessage) -> Message:
    text = "\n".join(filter(None, map(_text, message.blocks)))
    if message.role in (MessageRole.TOOL, MessageRole.FUNCTION):
        return Message(role="user", content=result_text(text))
    role = _ROLES.get(message.role)
    if role is None:
        raise QuestionError(
            f"messages of role {message.role.value!r} are not supported; send system, user, "
            "assistant and tool messages"
        )
    return Message(role=role, content=text)  # type: ignore[typeddict-item]


def _text(block: ContentBlock) -> str:
    """What the model reads of a block."""
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ToolCallBlock):
        given = block.tool_kwargs
        return call_text(block.tool_name, given if isinstance(given, dict) else json.loads(given))
    if isinstance(block, CachePoint | CitationBlock | ThinkingBlock):
        return ""  # marks, and what an earlier answer brought beside its text
    raise QuestionError(
        f"{type(block).__name__} is not supported; send text, and give documents to the "
        "query engine or as paths= or corpus="
    )


def raw(answer: Answer) -> dict[str, Any]:
    """All that is known of an answer; its usage lies where token counters look for it."""
    usage = answer.usage
    return {
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        },
        "citations": [asdict(citation) for citation in answer.citations],
        "timings": asdict(answer.timings),
        "memory": asdict(answer.memory) if answer.memory else None,
        "finish_reason": answer.finish_reason,
    }


def completion(
    answer: Answer | None, text: str = "", delta: str | None = None
) -> CompletionResponse:
    """A response: a piece of a stream, or with an `answer` the whole."""
    whole = text if answer is None else answer.text
    return CompletionResponse(text=whole, delta=delta, raw=raw(answer) if answer else None)


def chat_response(answer: Answer | None, text: str = "", delta: str | None = None) -> ChatResponse:
    """`completion`, as a message; a whole one carries its citations as blocks."""
    blocks = [TextBlock(text=text)] if answer is None else cited_text(answer.text, answer)
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    return ChatResponse(message=message, delta=delta, raw=raw(answer) if answer else None)


def cited_text(text: str, answer: Answer) -> list[ContentBlock]:
    """The text of an answer, and its citations."""
    return [TextBlock(text=text), *map(_citation_block, answer.citations)]


def _citation_block(citation: Citation) -> CitationBlock:
    """The quote, its file, its page and its characters."""
    start, end = citation.span
    return CitationBlock(
        cited_content=TextBlock(text=citation.quote),
        source=citation.source or citation.document,
        title=citation.document,
        additional_location_info={
            "passage": citation.passage,
            "page": citation.page,
            "start_char": start,
            "end_char": end,
        },
    )


def citations(said: Mapping[str, Any] | None) -> list[Citation]:
    """The citations in what `raw` made."""
    return [Citation(**found) for found in (said or {}).get("citations", ())]


def places(found: Iterable[Citation]) -> list[str]:
    """Where answers stand, as a model reads it."""
    lines = (f"[{c.passage}] {c.document}, page {c.page_label or c.page}: {c.quote}" for c in found)
    return list(dict.fromkeys(lines))


def source_nodes(session: Session, said: Mapping[str, Any] | None) -> list[NodeWithScore]:
    """The pages that `raw` says are cited, as nodes, with where and what was found in them."""
    return nodes_of(session, citations(said))


def nodes_of(session: Session, found: Iterable[Citation]) -> list[NodeWithScore]:
    """The cited pages as nodes."""
    return [_node(session, citation) for citation in found]


def _node(session: Session, citation: Citation) -> NodeWithScore:
    passage = session.passages[citation.passage - 1]
    node = TextNode(
        id_=f"{citation.document_id}:{citation.page}",
        text=passage.page.text,
        metadata={
            "file_name": PurePath(citation.source or citation.document).name,
            "file_path": citation.source,
            "title": citation.document,
            **found_at(citation),
        },
    )
    return NodeWithScore(node=node, score=citation.score)


def found_at(citation: Citation) -> dict[str, Any]:
    """Where a citation stands and what it quotes, as metadata of a node."""
    return {
        "page": citation.page,
        "page_label": citation.page_label,
        "quote": citation.quote,
        "span": list(citation.span),
        "method": citation.method,
    }
