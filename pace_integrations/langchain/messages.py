"""LangChain's messages in, the session's messages out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from pace_integrations.adapters.tool_calls import call_text, result_text
from pace_integrations.errors import QuestionError
from pace_integrations.langchain.attachments import file_text
from pace_integrations.model.prompts import Message

# Parts that say again what the message says elsewhere, or what no later turn needs.
_PASSED_OVER = frozenset(
    {
        "input_json_delta",
        "invalid_tool_call",
        "reasoning",
        "redacted_thinking",
        "thinking",
        "tool_call",
        "tool_call_chunk",
        "tool_use",
    }
)
_FILES = frozenset({"document", "file", "text-plain"})


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """The session's messages.

    Raises:
        QuestionError: A message is of a kind, or holds a part, that the session cannot take.
        DocumentError: An attached file cannot be read.
    """
    return [_message(message) for message in messages]


def marks_prefix(messages: Sequence[BaseMessage]) -> bool:
    """Whether a part is marked with ``cache_control``: what comes before is to be kept."""
    return any(
        isinstance(part, dict) and part.get("cache_control")
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
    )


def _message(message: BaseMessage) -> Message:
    content = _text(message)
    if isinstance(message, SystemMessage):
        return Message(role="system", content=content)
    if isinstance(message, HumanMessage):
        return Message(role="user", content=content)
    if isinstance(message, AIMessage):
        calls = [call_text(call["name"], call["args"]) for call in message.tool_calls]
        return Message(role="assistant", content="\n".join([content] * bool(content) + calls))
    if isinstance(message, ToolMessage):
        # The templates that know tools show results as the user's turn, in this form.
        failed = message.status == "error"
        return Message(role="user", content=result_text(content, failed=failed))
    if isinstance(message, ChatMessage) and message.role in ("system", "user", "assistant"):
        return Message(role=message.role, content=content)  # type: ignore[typeddict-item]
    raise QuestionError(
        f"messages of type {message.type!r} are not supported; send system, human, AI and tool "
        "messages"
    )


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_part(part) for part in message.content)


def _part(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type")
    if kind == "text":
        return str(part["text"])
    if kind in _FILES:
        return file_text(part)
    if kind in _PASSED_OVER:
        return ""
    raise QuestionError(
        f"message content of type {kind!r} is not supported; send text and PDF or text files"
    )
