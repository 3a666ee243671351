"""A library in LlamaIndex: its pages as a retriever's nodes, its answers as a query engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import RESPONSE_TYPE, Response
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from pace_integrations.adapters.citations import to_plain
from pace_integrations.adapters.page_selection import select_by_metadata
from pace_integrations.documents import Document, Page
from pace_integrations.llama_index.source_nodes import make_page_node

if TYPE_CHECKING:
    from pace_integrations.answer import Answer
    from pace_integrations.library import Library
    from pace_integrations.library.config import SelectorMaker


class PaceLibraryRetriever(BaseRetriever):
    """Gives the pages of a library that fit a question best, without answering it.

    Nodes are whole pages, the best first; their metadata names file, page, the number that answers
    cite (``passage``), and why the page was chosen (``reason``). Nothing is embedded.

    Args:
        library: The library.
        similarity_top_k: Most pages of one query.
        selector: What chooses them instead of the library's own selector.
        callback_manager: LlamaIndex's callbacks.
    """

    def __init__(
        self,
        library: Library,
        *,
        similarity_top_k: int = 2,
        selector: str | SelectorMaker | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager)
        self._library = library
        self._top_k = similarity_top_k
        self._selector = selector

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        # Several passages may be of one page.
        choice = self._library.find_pages(
            query_bundle.query_str, count=4 * self._top_k, selector=self._selector
        )
        pages: dict[int, NodeWithScore] = {}
        for scored in choice.scored:
            block = scored.block
            if block.number not in pages and len(pages) < self._top_k:
                node = _make_node(block.number, block.document, block.page, reason=scored.reason)
                pages[block.number] = NodeWithScore(node=node, score=scored.score)
        return list(pages.values())


class PaceLibraryQueryEngine(BaseQueryEngine):
    """Answers from the pages of a library that fit a query best; the cited pages are the sources.

    The response's metadata has the answer's citations, evidence, support and selection.

    Args:
        library: The library.
        callback_manager: LlamaIndex's callbacks.
        **options: As for `Library.ask`, such as ``strategy`` or ``on_unsupported``.
    """

    def __init__(
        self,
        library: Library,
        *,
        callback_manager: CallbackManager | None = None,
        **options: Any,  # noqa: ANN401 - those of Library.ask
    ) -> None:
        super().__init__(callback_manager)
        self._library = library
        self._options = options

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return self._respond(self._library.ask(query_bundle.query_str, **self._options))

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return self._respond(await self._library.aask(query_bundle.query_str, **self._options))

    def _respond(self, answer: Answer) -> Response:
        pages = {passage.number: passage for passage in self._library.passages}
        nodes = [
            NodeWithScore(
                node=_make_node(
                    c.passage, pages[c.passage].document, pages[c.passage].page, quote=c.quote
                ),
                score=c.score,
            )
            for c in answer.citations
            if c.passage in pages
        ]
        told = {
            "citations": [to_plain(citation) for citation in answer.citations],
            "evidence": [to_plain(citation) for citation in answer.evidence],
            "support": answer.support,
            "supported": answer.supported,
            "selection": to_plain(answer.selection) if answer.selection else None,
        }
        return Response(answer.text, source_nodes=nodes, metadata=told)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def select_with(retriever: BaseRetriever, name: str = "retriever") -> SelectorMaker:
    """Return what makes a selector of a retriever: ``library.ask(..., selector=select_with(r))``.

    A node belongs to the page that its metadata names: by ``passage``, its number in the library,
    or by ``file_path``, ``file_name`` or ``title`` and ``page`` (from 1) or ``page_label``. Others
    are skipped.

    Args:
        retriever: Any retriever over the same documents.
        name: Name to give in answers.
    """
    return select_by_metadata(
        lambda question: (found.node.metadata for found in retriever.retrieve(question)),
        name,
        first_page=1,
    )


def _make_node(number: int, document: Document, page: Page, **more: Any) -> TextNode:  # noqa: ANN401
    place = {"page": page.index, "page_label": page.label, "passage": number}
    return make_page_node(document, page, **place, **more)
