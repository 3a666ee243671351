"""LlamaIndex's messages and documents in, its responses out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any
from uuid import UUID

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import NodeWithScore, TextNode

from pace_integrations.answer import Answer, Citation
from pace_integrations.documents import Corpus, Document, Page
from pace_integrations.errors import DocumentError, QuestionError
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
    role = _ROLES.get(message.role)
    if role is None:
        raise QuestionError(
            f"messages of role {message.role.value!r} are not supported; send system, user and "
            "assistant messages"
        )
    for block in message.blocks:
        if not isinstance(block, TextBlock):
            raise QuestionError(
                f"{type(block).__name__} is not supported; send text, and give documents to the "
                "query engine or as paths= or corpus="
            )
    return Message(role=role, content=message.content or "")  # type: ignore[typeddict-item]


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


def source_nodes(session: Session, citations: Iterable[Citation]) -> list[NodeWithScore]:
    """The cited pages as nodes, with where and what was found in them."""
    return [_node(session, citation) for citation in citations]


def _node(session: Session, citation: Citation) -> NodeWithScore:
    passage = session.passages[citation.passage - 1]
    node = TextNode(
        id_=f"{citation.document_id}:{citation.page}",
        text=passage.page.text,
        metadata={
            "file_name": PurePath(citation.source or citation.document).name,
            "file_path": citation.source,
            "title": citation.document,
            "page": citation.page,
            "page_label": citation.page_label,
            "quote": citation.quote,
            "span": list(citation.span),
            "method": citation.method,
        },
    )
    return NodeWithScore(node=node, score=citation.score)


def to_corpus(documents: Iterable[LlamaDocument]) -> Corpus:
    """A corpus of LlamaIndex documents; those of one file are its pages, in order.

    LlamaIndex's readers make one document a page and name the file in ``file_path`` or
    ``file_name`` and the printed page in ``page_label``. A document without text is left out.

    Raises:
        DocumentError: No document holds text.
    """
    files: dict[str, list[LlamaDocument]] = {}
    for document in documents:
        metadata = document.metadata
        name = metadata.get("file_path") or metadata.get("file_name") or document.id_
        files.setdefault(str(name), []).append(document)
    read = [_document(n, name, parts) for n, (name, parts) in enumerate(files.items(), start=1)]
    kept = tuple(document for document in read if document.pages)
    if not kept:
        raise DocumentError(
            f"none of the {len(read)} documents holds text; check what the reader gave, or let "
            "PaceQueryEngine.from_paths read the files and say what became of each"
        )
    return Corpus(kept)


def _document(number: int, name: str, parts: Sequence[LlamaDocument]) -> Document:
    first = parts[0].metadata
    title = first.get("title") or first.get("file_name") or _title(number, name)
    pages = [
        Page(index, _label(part), part.text)
        for index, part in enumerate(parts, start=1)
        if part.text.strip()
    ]
    path = first.get("file_path")
    return Document.from_pages(str(title), pages, source=None if path is None else str(path))


def _title(number: int, name: str) -> str:
    """The file's name or the caller's id; an id that LlamaIndex drew is new in every run."""
    try:
        UUID(name)
    except ValueError:
        return PurePath(name).name
    return f"Document {number}"


def _label(part: LlamaDocument) -> str | None:
    label = part.metadata.get("page_label", part.metadata.get("page"))
    return None if label is None else str(label)
