"""LangChain's messages in, the session's messages out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, ToolMessage

from pace_integrations.adapters.answer_format import History
from pace_integrations.adapters.attachments import decode_base64, read_attachment
from pace_integrations.adapters.messages import Role, parse_role, settle_messages
from pace_integrations.adapters.tool_calls import write_call, write_result
from pace_integrations.errors import QuestionError

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message

# Parts that say again what the message says elsewhere, or what no later turn needs.
_IGNORED_PARTS = frozenset(
    {
        *("input_json_delta", "invalid_tool_call", "reasoning", "redacted_thinking", "thinking"),
        *("tool_call", "tool_call_chunk", "tool_use", "server_tool_call", "non_standard"),
    }
)
_FILE_PARTS = frozenset({"document", "file", "text-plain"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def to_messages(messages: Sequence[BaseMessage], *, plain: bool = False) -> list[Message]:
    """Return the session's messages.

    Args:
        messages: The conversation.
        plain: Whether the model was never trained on the marks of tool calls.

    Raises:
        QuestionError: A message is of a kind, or holds a part, that the session cannot take.
        DocumentError: An attached file cannot be read.
    """
    names = {
        call["id"]: call["name"]
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    }
    return settle_messages([_to_message(message, names, plain) for message in messages])


def scan_history(messages: Sequence[BaseMessage]) -> History:
    """Return what a conversation says of the next answer."""
    return History.scan([(_role_of(message), message.text) for message in messages])


def is_prefix_marked(messages: Sequence[BaseMessage]) -> bool:
    """Return whether a part is marked with ``cache_control``: what comes before is to be kept."""
    return any(
        isinstance(part, dict) and part.get("cache_control")
        for message in messages
        if not isinstance(message.content, str)
        for part in message.content
    )


def _role_of(message: BaseMessage) -> Role:
    return parse_role(getattr(message, "role", None) or message.type.removesuffix("MessageChunk"))


def _to_message(message: BaseMessage, names: Mapping[str | None, str], plain: bool) -> Message:
    content, role = _to_text(message), _role_of(message)
    if role == "tool":
        # The templates that know tools show results as the user's turn, in this form.
        name = message.name
        if isinstance(message, ToolMessage):
            name = name or names.get(message.tool_call_id)
        failed = getattr(message, "status", None) == "error"
        shown = write_result(content, name=name, failed=failed, plain=plain)
        return {"role": "user", "content": shown}
    if isinstance(message, AIMessage):
        calls = [write_call(c["name"], c["args"], plain=plain) for c in message.tool_calls]
        return {"role": "assistant", "content": "\n".join([content] * bool(content) + calls)}
    assert not isinstance(message, FunctionMessage)
    return {"role": role, "content": content}


def _to_text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_part_text(part) for part in message.content)


def _part_text(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        return str(part["text"])
    if kind in _FILE_PARTS:
        return read_file_part(part)
    if kind == "tool_result":  # Anthropic's form of a tool message
        inner = part.get("content") or ""
        return inner if isinstance(inner, str) else "".join(map(_part_text, inner))
    if kind in _IGNORED_PARTS:
        return ""
    raise QuestionError(
        f"message content of type {kind!r} is not supported; send text and PDF or text files"
    )


def read_file_part(part: Mapping[str, Any]) -> str:
    """Return the text of a file part, page by page.

    Args:
        part: LangChain's standard block, or that of OpenAI's or Anthropic's interface.

    Raises:
        QuestionError: It gives an address or an id instead of the file, or is malformed.
        DocumentError: The file cannot be read.
    """
    source = part.get("source") or part.get("file") or part
    plain = part.get("text") or (source.get("data") if source.get("type") == "text" else None)
    if plain is not None:
        return f"{plain}\n\n"
    data = next((source[k] for k in ("base64", "data", "file_data") if source.get(k)), None)
    if not isinstance(data, str):
        raise QuestionError(
            "an attached file must come as base64; addresses and ids are not followed, so load "
            "the file first (paths= reads files and folders)"
        )
    kind = str(source.get("mime_type") or source.get("media_type") or "application/pdf")
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        kind = head.removeprefix("data:").partition(";")[0] or kind
    return read_attachment(decode_base64(data), kind, _find_file_name(part))


def _find_file_name(part: Mapping[str, Any]) -> str | None:
    extras = part.get("extras") or {}
    inner = part.get("file") or {}
    places = ((inner, "filename"), (part, "filename"), (extras, "filename"))
    names = (where.get(key) for where, key in (*places, (part, "title"), (part, "name")))
    return next((Path(str(name)).name for name in names if name), None)
