"""Cited pages as nodes: those that were nodes are given back as their owner knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

from pace_integrations.adapters.page_metadata import find_origin
from pace_integrations.answer import Citation
from pace_integrations.documents import Document, Page
from pace_integrations.llama_index.convert import read_citations

if TYPE_CHECKING:
    from pace_integrations.session.citations import Passage


def find_cited_nodes(
    passages: Sequence[Passage], said: Mapping[str, Any] | None
) -> list[NodeWithScore]:
    """Return the pages that a response's ``raw`` cites."""
    return make_source_nodes(passages, read_citations(said))


def make_source_nodes(
    passages: Sequence[Passage], found: Iterable[Citation]
) -> list[NodeWithScore]:
    """Return cited pages as nodes."""
    cited = ((passages[c.passage - 1], c) for c in found)
    return [
        NodeWithScore(
            node=make_page_node(p.document, p.page, **describe_citation(c)), score=c.score
        )
        for p, c in cited
    ]


def make_page_node(document: Document, page: Page, /, **more: Any) -> TextNode:  # noqa: ANN401
    """Return a page as a node, with the ids and the metadata of the node that it was.

    Args:
        document: The document it belongs to.
        page: The page.
        more: Further metadata.
    """
    origin = find_origin(page)
    own = {
        "file_name": PurePath(document.source or document.title).name,
        "file_path": document.source,
        "title": document.title,
    }
    given = origin.metadata if origin is not None else document.metadata
    node = TextNode(
        id_=f"{document.id}:{page.index}",
        text=page.text,
        metadata={**own, **given, **more},
    )
    if origin is not None:
        node.id_ = origin.id or node.id_
        if reference := origin.document_id or origin.id:
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=reference)
    return node


def describe_citation(citation: Citation) -> dict[str, Any]:
    """Return where a citation is found and what it quotes, as metadata of a node."""
    return {
        "page": citation.page,
        "page_label": citation.page_label,
        "quote": citation.quote,
        "span": list(citation.span),
        "method": citation.method,
    }
