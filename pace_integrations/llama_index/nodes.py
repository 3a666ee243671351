"""LlamaIndex's documents and nodes to a corpus, and pages to LlamaIndex's documents and nodes.

LlamaIndex's readers make one document a page. With ``filename_as_id`` its directory reader calls
the one at position ``i`` ``PATH_part_i``; pages made here are called the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any
from uuid import UUID

from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
)
from llama_index.core.schema import Document as LlamaDocument

from pace_integrations.adapters.page_metadata import describe_origin
from pace_integrations.documents import Corpus, Document, FileReport, Page
from pace_integrations.documents.types import short_id
from pace_integrations.errors import DocumentError

_PART = re.compile(r"_part_(\d+)\Z")
# Facts of the page that help a person, not a model or an embedding.
_ASIDE = ["page", "total_pages", "status", "sha256"]


def to_corpus(documents: Iterable[BaseNode], *, named: bool = False) -> Corpus:
    """Return a corpus of documents; those of one file are its pages, in order.

    LlamaIndex's readers make one document a page and name the file in ``file_path`` or
    ``file_name`` and the printed page in ``page_label``. A document without text is left out.

    Args:
        documents: Documents or nodes.
        named: Whether each must have a name of its own.

    Raises:
        DocumentError: No document holds text, or one has no name.
    """
    groups = _group_by_file(documents)
    if named and (drawn := [name for name in groups if _is_drawn_id(name)]):
        raise DocumentError(
            f"the document of id {drawn[0]!r} names no file and has no id of its own, so it "
            "cannot be told which one it replaces; set metadata['file_path'] or doc_id"
        )
    read = [
        _make_document(number, name, _number_pages(parts))
        for number, (name, parts) in enumerate(groups.items(), start=1)
    ]
    kept = tuple(document for document in read if document.pages)
    if not kept:
        raise DocumentError(
            f"none of the {len(read)} documents holds text; check what the reader gave, or let "
            "PaceQueryEngine.from_paths read the files and say what became of each"
        )
    return Corpus(kept)


def sort_for_reading(nodes: Iterable[BaseNode]) -> list[BaseNode]:
    """Return nodes with text by file, page and place, so that one set of nodes has one order."""
    with_text = [node for node in nodes if get_text(node).strip()]
    return sorted(with_text, key=_reading_order)


def _reading_order(node: BaseNode) -> tuple[str, int, int, str]:
    start = getattr(node, "start_char_idx", None)
    return get_file(node), _find_page(node) or 0, start or 0, node.id_


def make_node_corpus(nodes: Sequence[BaseNode]) -> Corpus:
    """Return a corpus in which passage ``n`` is ``nodes[n - 1]``.

    Args:
        nodes: At least one node, from `sort_for_reading`.
    """
    documents = []
    for number, (name, parts) in enumerate(_group_by_file(nodes).items(), start=1):
        pages = [(_find_page(part) or i, part) for i, part in enumerate(parts, start=1)]
        documents.append(_make_document(number, name, pages))
    return Corpus(tuple(documents))


def to_documents(
    document: Document | None, report: FileReport, extra: dict[str, Any] | None = None
) -> list[LlamaDocument]:
    """Return a file's pages as LlamaIndex's documents, those without text included.

    So position and page agree, and one page that gains a text layer renames no other.

    Args:
        document: What was read, or None.
        report: What became of the file.
        extra: Metadata of every page.
    """
    if document is None:
        return []
    texts = {page.index: page for page in document.pages}
    path = document.source or document.title
    return [
        _make_page_document(path, document, report, texts.get(i) or Page(i, None, ""), extra or {})
        for i in range(1, max(report.pages, *texts) + 1)
    ]


def get_text(node: BaseNode) -> str:
    """Return a node's own text."""
    return node.get_content(metadata_mode=MetadataMode.NONE)


def get_file(node: BaseNode) -> str:
    """Return the file a node comes from; failing that the document, or itself."""
    metadata = node.metadata
    name = metadata.get("file_path") or metadata.get("file_name")
    return str(name or node.ref_doc_id or node.id_)


def _group_by_file(nodes: Iterable[BaseNode]) -> dict[str, list[BaseNode]]:
    files: dict[str, list[BaseNode]] = {}
    for node in nodes:
        files.setdefault(get_file(node), []).append(node)
    return files


def _number_pages(parts: Sequence[BaseNode]) -> list[tuple[int, BaseNode]]:
    """Return all parts of a file with their 1-based pages: as they say, or else by position."""
    stated = [_find_stated_page(part) for part in parts]
    if None not in stated:
        return [(page or 0, part) for page, part in zip(stated, parts, strict=True)]
    return list(enumerate(parts, start=1))


def _find_stated_page(node: BaseNode) -> int | None:
    """Return the 1-based page that a node is sure of, by this library's metadata or its name."""
    page = node.metadata.get("page")
    if isinstance(page, int) and page > 0:
        return page
    part = _PART.search(node.ref_doc_id or node.id_) or _PART.search(node.id_)
    return int(part[1]) + 1 if part else None


def _find_page(node: BaseNode) -> int | None:
    """Return the 1-based page of a node on its own: as it says, or the printed number."""
    label = str(node.metadata.get("page_label", ""))
    return _find_stated_page(node) or (int(label) if label.isdecimal() else None)


def _make_document(number: int, name: str, parts: Sequence[tuple[int, BaseNode]]) -> Document:
    first = parts[0][1].metadata
    title = first.get("title") or first.get("file_name") or _make_title(number, name)
    pages = [
        Page(index, _find_label(part), get_text(part), metadata=_describe_node(part))
        for index, part in parts
    ]
    path = first.get("file_path")
    source = None if path is None else str(path)
    document = Document.from_pages(str(title), pages, source=source)
    hashes = {part.metadata.get("sha256") for _, part in parts}
    if len(hashes) == 1 and None not in hashes and len(parts) == first.get("total_pages"):
        # All pages of a file that `PaceReader` read: the very document that was read.
        sha256 = str(hashes.pop())
        return replace(document, id=short_id(sha256), sha256=sha256)
    return document


def _describe_node(node: BaseNode) -> dict[str, Any]:
    whole = isinstance(node, LlamaDocument)
    return describe_origin(
        node.metadata,
        id=None if whole else node.id_,
        document_id=node.ref_doc_id or node.id_,
    )


def _make_title(number: int, name: str) -> str:
    """Return the file's name or the caller's id; an id that LlamaIndex drew is new in every run."""
    return f"Document {number}" if _is_drawn_id(name) else PurePath(name).name


def _is_drawn_id(name: str) -> bool:
    """Return whether a name is an id that LlamaIndex drew."""
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def _find_label(part: BaseNode) -> str | None:
    """Return the printed label; other people's ``page`` is one too, ours is a position."""
    label = part.metadata.get("page_label")
    if label is None and "sha256" not in part.metadata:
        label = part.metadata.get("page")
    return None if label is None else str(label)


def _make_page_document(
    path: str, document: Document, report: FileReport, page: Page, extra: dict[str, Any]
) -> LlamaDocument:
    labels = {"page_label": page.label} if page.label else {}
    own = {
        "file_name": PurePath(path).name,
        "file_path": path,
        "title": document.title,
        "page": page.index,
        "total_pages": report.pages,
        "status": report.status,
        "sha256": document.sha256,
    }
    return LlamaDocument(
        id_=f"{path}_part_{page.index - 1}",
        text=page.text,
        metadata={**extra, **own, **labels},
        excluded_embed_metadata_keys=[*_ASIDE],
        excluded_llm_metadata_keys=[*_ASIDE],
    )
