"""The nodes that pages were read from: cited pages are given back as their owner knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import (
    BaseNode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.schema import Document as LlamaDocument

from pace_integrations.answer import Citation
from pace_integrations.llama_index.convert import read_citations

if TYPE_CHECKING:
    from pace_integrations.session.citations import Passage


@dataclass(frozen=True)
class SourceNodes:
    """The nodes that pages were read from, to be given back with their metadata and ids.

    Attributes:
        nodes: Nodes by title, file and page of what was read of them.
    """

    nodes: Mapping[tuple[str, str | None, int], BaseNode] = field(default_factory=dict)

    def __or__(self, other: SourceNodes) -> SourceNodes:
        return SourceNodes({**self.nodes, **other.nodes})

    def find_cited(
        self, passages: Sequence[Passage], said: Mapping[str, Any] | None
    ) -> list[NodeWithScore]:
        """Return the pages that a response's ``raw`` cites."""
        return self.make_nodes(passages, read_citations(said))

    def make_nodes(
        self, passages: Sequence[Passage], found: Iterable[Citation]
    ) -> list[NodeWithScore]:
        """Return cited pages as nodes."""
        return [self._make_node(passages[c.passage - 1], c) for c in found]

    def _make_node(self, passage: Passage, citation: Citation) -> NodeWithScore:
        document, page = passage.document, passage.page
        origin = self.nodes.get((document.title, document.source, page.index))
        own = {
            "file_name": PurePath(document.source or document.title).name,
            "file_path": document.source,
            "title": document.title,
        }
        given = origin.metadata if origin is not None else document.metadata
        node = TextNode(
            id_=f"{document.id}:{page.index}",
            text=page.text,
            metadata={**own, **given, **describe_citation(citation)},
        )
        if origin is not None:
            reference = origin.ref_doc_id or origin.id_
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=reference)
            if not isinstance(origin, LlamaDocument):
                node.id_ = origin.id_
        return NodeWithScore(node=node, score=citation.score)


def describe_citation(citation: Citation) -> dict[str, Any]:
    """Return where a citation is found and what it quotes, as metadata of a node."""
    return {
        "page": citation.page,
        "page_label": citation.page_label,
        "quote": citation.quote,
        "span": list(citation.span),
        "method": citation.method,
    }
