"""Finds documents and pages that a corpus has several times. Pure functions of documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from pace_integrations.documents.types import Document, FileReport, Page

# Shorter pages ("This page is intentionally left blank") are alike by chance.
_SHORTEST = 80

Result = tuple[Document | None, FileReport]


def _page_key(page: Page) -> bytes | None:
    text = " ".join(page.text.split()).encode("utf-8", "replace")
    return hashlib.sha256(text).digest() if len(text) >= _SHORTEST else None


def mark_duplicates(results: Iterable[Result], *, drop: bool) -> list[Result]:
    """Report what stands in a corpus already, and leave it out if that is wanted.

    Args:
        results: Documents and reports, in reading order.
        drop: Whether to leave out documents whose bytes came before, and pages whose words did.

    Returns:
        As many, with ``duplicate_of`` and ``duplicate_pages`` in the reports.
    """
    documents: dict[str, str] = {}
    pages: set[bytes] = set()
    marked: list[Result] = []
    for document, file in results:
        if document is None:
            marked.append((document, file))
            continue
        first = documents.setdefault(document.sha256, file.path)
        keys = [_page_key(page) for page in document.pages]
        known = [key in pages for key in keys]
        pages.update(key for key in keys if key is not None)
        same = first if first != file.path else None
        report = replace(file, duplicate_of=same, duplicate_pages=0 if same else sum(known))
        marked.append(
            (_drop_known(document, known, is_copy=same is not None) if drop else document, report)
        )
    return marked


def _drop_known(document: Document, known: list[bool], *, is_copy: bool) -> Document | None:
    """Return what a document has that did not come before, or None."""
    pages = tuple(page for page, again in zip(document.pages, known, strict=True) if not again)
    return replace(document, pages=pages) if pages and not is_copy else None
