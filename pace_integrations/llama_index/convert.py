"""LlamaIndex's messages in, its responses out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    DocumentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from pace_integrations.adapters.answer_format import History
from pace_integrations.adapters.attachments import decode_base64, read_attachment
from pace_integrations.adapters.citations import describe_support, load_citations, to_plain
from pace_integrations.adapters.messages import parse_role, settle_messages
from pace_integrations.adapters.tool_calls import write_call, write_result
from pace_integrations.answer import Answer, Citation
from pace_integrations.errors import QuestionError

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message

# Marks, and what an earlier answer brought beside its text.
_IGNORED_BLOCKS = (CachePoint, CitationBlock, ThinkingBlock)


def to_messages(messages: Sequence[ChatMessage], *, plain: bool = False) -> list[Message]:
    """Return the session's messages.

    Args:
        messages: The conversation.
        plain: Whether the model was never trained on the marks of tool calls.

    Raises:
        QuestionError: A message holds a block that the session cannot take.
        DocumentError: An attached file cannot be read.
    """
    return settle_messages([_to_message(message, plain) for message in messages])


def scan_history(messages: Sequence[ChatMessage]) -> History:
    """Return what a conversation says of the next answer."""
    return History.scan([(parse_role(m.role.value), m.content or "") for m in messages])


def is_prefix_marked(messages: Sequence[ChatMessage]) -> bool:
    """Return whether a `CachePoint` says that the prompt is to be kept."""
    return any(isinstance(block, CachePoint) for m in messages for block in m.blocks)


def _to_message(message: ChatMessage, plain: bool) -> Message:
    texts = (_block_text(block, plain) for block in message.blocks)
    text, role = "\n".join(filter(None, texts)), parse_role(message.role.value)
    if role == "tool":
        name = message.additional_kwargs.get("name")
        return {"role": "user", "content": write_result(text, name=name, plain=plain)}
    return {"role": role, "content": text}


def _block_text(block: ContentBlock, plain: bool) -> str:
    """Return what the model reads of a block."""
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ToolCallBlock):
        return write_call(block.tool_name, load_arguments(block.tool_kwargs), plain=plain)
    if isinstance(block, DocumentBlock):
        return _read_document(block)
    if isinstance(block, CitableBlock):
        inner = "\n".join(_block_text(part, plain) for part in block.content)
        return f"[{block.title}]\n{inner}"
    if isinstance(block, _IGNORED_BLOCKS):
        return ""
    raise QuestionError(
        f"{type(block).__name__} is not supported; send text and documents, or give files to the "
        "query engine or as paths="
    )


def _read_document(block: DocumentBlock) -> str:
    title = block.title if block.title != "input_document" else None
    if block.data:
        content = decode_base64(block.data) if isinstance(block.data, bytes) else _drain(block.data)
    elif block.path:
        content, title = Path(block.path).read_bytes(), title or Path(block.path).name
    else:
        raise QuestionError(
            "a DocumentBlock must bring its data or a path; addresses are not followed, so load "
            "the file first"
        )
    return read_attachment(content, block.document_mimetype, title)


def _drain(buffer: Any) -> bytes:  # noqa: ANN401 - any binary stream
    buffer.seek(0)
    return bytes(buffer.read())


def load_arguments(given: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON or what it stands for
    """Return the arguments of a call."""
    made = json.loads(given) if isinstance(given, str) else given
    return made if isinstance(made, dict) else {}


def to_openai_call(block: ToolCallBlock) -> dict[str, Any]:
    """Return a call as OpenAI's interface has it."""
    function = {"name": block.tool_name, "arguments": json.dumps(block.tool_kwargs)}
    return {"id": block.tool_call_id, "type": "function", "function": function}


def make_raw(answer: Answer) -> dict[str, Any]:
    """Return all that is known of an answer; its usage is where token counters look for it."""
    usage = answer.usage
    return {
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        },
        "citations": [to_plain(citation) for citation in answer.citations],
        "timings": to_plain(answer.timings),
        "memory": to_plain(answer.memory) if answer.memory else None,
        **describe_support(answer),
        "finish_reason": answer.finish_reason,
    }


def make_completion(
    answer: Answer | None, text: str = "", delta: str | None = None
) -> CompletionResponse:
    """Return a response: a piece of a stream, or with an `answer` the whole."""
    whole = text if answer is None else answer.text
    return CompletionResponse(text=whole, delta=delta, raw=make_raw(answer) if answer else None)


def make_chat_response(
    answer: Answer | None, text: str = "", delta: str | None = None
) -> ChatResponse:
    """Return `make_completion` as a message; a whole one carries its citations as blocks."""
    blocks = [TextBlock(text=text)] if answer is None else make_cited_blocks(answer.text, answer)
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
    return ChatResponse(message=message, delta=delta, raw=make_raw(answer) if answer else None)


def make_cited_blocks(text: str, answer: Answer) -> list[ContentBlock]:
    """Return the text of an answer, and its citations."""
    return [TextBlock(text=text), *map(_make_citation_block, answer.citations)]


def _make_citation_block(citation: Citation) -> CitationBlock:
    """Return the quote, its file, its page and its characters."""
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


def read_citations(said: Mapping[str, Any] | None) -> list[Citation]:
    """Return the citations in what `make_raw` made."""
    return load_citations((said or {}).get("citations", ()))
