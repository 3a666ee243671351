"""LangChain's messages in, the session's out, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata

from pace_integrations.answer import Answer, Usage
from pace_integrations.errors import QuestionError
from pace_integrations.model.prompts import Message


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """The session's messages.

    Raises:
        QuestionError: A message is of a kind, or holds a part, that the session cannot take.
    """
    return [_message(message) for message in messages]


def _message(message: BaseMessage) -> Message:
    content = _text(message)
    if isinstance(message, SystemMessage):
        return Message(role="system", content=content)
    if isinstance(message, HumanMessage):
        return Message(role="user", content=content)
    if isinstance(message, AIMessage):
        return Message(role="assistant", content=content)
    if isinstance(message, ChatMessage) and message.role in ("system", "user", "assistant"):
        return Message(role=message.role, content=content)  # type: ignore[typeddict-item]
    raise QuestionError(
        f"messages of type {message.type!r} are not supported; send system, human and AI messages"
    )


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_part(part) for part in message.content)


def _part(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    if part.get("type") == "text":
        return str(part["text"])
    raise QuestionError(
        f"message content of type {part.get('type')!r} is not supported; send text, and give "
        "documents as paths= or corpus="
    )


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Usage under LangChain's names; what the session had read before is ``cache_read``."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
    )


def response_metadata(answer: Answer, model: str) -> dict[str, Any]:
    """Everything else that is known of an answer, as plain values."""
    return {
        "model_name": model,
        "model_provider": "pace",
        "finish_reason": answer.finish_reason,
        "citations": [asdict(citation) for citation in answer.citations],
        "timings": asdict(answer.timings),
        "memory": asdict(answer.memory) if answer.memory else None,
    }
