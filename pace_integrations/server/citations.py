"""Citations in the forms that clients know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pace_integrations.adapters.citations import find_mark
from pace_integrations.answer import Answer, Citation
from pace_integrations.server.core import ServerCore, Target, is_refusal
from pace_integrations.server.uploads import name_file


class CitationWriter:
    """Writes the citations of one request.

    Args:
        core: The server, which signs links.
        target: Who answers.
        base_url: Address of the server as the client knows it.
    """

    def __init__(self, core: ServerCore, target: Target, base_url: str) -> None:
        self._core = core
        self._target = target
        self._base_url = base_url.rstrip("/")

    def link_page(self, citation: Citation) -> str | None:
        """Return the address of the cited page with the quote highlighted."""
        library = self._target.library
        if library is None:
            return None
        namespace, number = self._target.namespace, citation.passage
        query = {
            "start": citation.span[0],
            "end": citation.span[1],
            "sig": self._core.sign_page(namespace, library.id, number),
        }
        return f"{self._base_url}/pages/{quote(library.id)}/{number}?{urlencode(query)}"

    def describe(self, citation: Citation) -> dict[str, Any]:
        """Return all that is known of a citation."""
        return {
            "document": citation.document,
            "file_id": name_file(citation.document_id),
            "passage": citation.passage,
            "page": citation.page,
            "page_label": citation.page_label,
            "quote": citation.quote,
            "span": list(citation.span),
            "method": citation.method,
            "score": citation.score,
            "url": self.link_page(citation),
        }

    def write_file_citations(self, answer: Answer) -> list[dict[str, Any]]:
        """Return the annotations of Responses, with the page, its label and the quote besides."""
        return [self.write_file_citation(citation, answer.text) for citation in answer.citations]

    def write_file_citation(self, citation: Citation, text: str) -> dict[str, Any]:
        """Return one annotation of Responses."""
        mark = find_mark(citation, text)
        return {
            "type": "file_citation",
            "file_id": name_file(citation.document_id),
            "filename": name_source(citation),
            "index": mark[0] if mark else len(text),
            **self.describe(citation),
        }

    def write_url_citations(self, answer: Answer) -> list[dict[str, Any]]:
        """Return the annotations of Chat Completions."""
        annotations = []
        for citation in answer.citations:
            mark = find_mark(citation, answer.text) or [len(answer.text)] * 2
            page = citation.page_label or citation.page
            inner = {
                "url": self.link_page(citation) or "",
                "title": f"{citation.document}, page {page}",
                "start_index": mark[0],
                "end_index": mark[1],
                "content": citation.quote,
            }
            annotations.append({"type": "url_citation", "url_citation": inner})
        return annotations

    def write_page_locations(self, citations: Sequence[Citation]) -> list[dict[str, Any]]:
        """Return the citations of Messages, which know pages."""
        return [
            {
                "type": "page_location",
                "cited_text": citation.quote,
                "document_index": citation.passage - 1,
                "document_title": citation.document,
                "start_page_number": citation.page,
                "end_page_number": citation.page + 1,
                "file_id": name_file(citation.document_id),
            }
            for citation in citations
        ]


def name_source(citation: Citation) -> str:
    """Return the name of the cited file, or the title where there is no file."""
    return Path(citation.source).name if citation.source else citation.document


def describe_support(answer: Answer) -> dict[str, Any]:
    """Return whether the pages support an answer, as far as that is known."""
    return {
        "refused": is_refusal(answer),
        "support": answer.support,
        "supported": answer.supported,
        "exact": answer.exact,
        "cited": bool(answer.citations),
    }
