"""Files into pages: what was read, page by page, and what became of every file."""

from __future__ import annotations

from pace_integrations.documents.corpus import Corpus, NothingReadError
from pace_integrations.documents.highlight import Evidence, highlight
from pace_integrations.documents.ingest import ReadProgress
from pace_integrations.documents.options import ReadLimits, ReadOptions
from pace_integrations.documents.quotes.matching import Quote, best_passage, best_quote
from pace_integrations.documents.types import (
    Document,
    FileReport,
    Page,
    ParseResult,
    Reader,
    Report,
    Status,
)

__all__ = [
    "Corpus",
    "Document",
    "Evidence",
    "FileReport",
    "NothingReadError",
    "Page",
    "ParseResult",
    "Quote",
    "ReadLimits",
    "ReadOptions",
    "ReadProgress",
    "Reader",
    "Report",
    "Status",
    "best_passage",
    "best_quote",
    "highlight",
]
