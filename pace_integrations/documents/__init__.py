"""Files into pages: what was read, page by page, and what became of every file."""

from __future__ import annotations

from pace_integrations._renamed import keep_renamed
from pace_integrations.documents.corpus import Corpus, NothingReadError
from pace_integrations.documents.formats.registry import Parser
from pace_integrations.documents.highlight import (
    Evidence,
    HighlightedCopy,
    highlight,
    highlight_answers,
)
from pace_integrations.documents.ingest import ReadProgress
from pace_integrations.documents.options import ReadLimits, ReadOptions
from pace_integrations.documents.quotes.matching import Quote, best_passage, best_quote
from pace_integrations.documents.types import (
    Document,
    FileReport,
    Page,
    ParseResult,
    Report,
    Status,
)

__all__ = [
    "Corpus",
    "Document",
    "Evidence",
    "FileReport",
    "HighlightedCopy",
    "NothingReadError",
    "Page",
    "ParseResult",
    "Parser",
    "Quote",
    "ReadLimits",
    "ReadOptions",
    "ReadProgress",
    "Report",
    "Status",
    "best_passage",
    "best_quote",
    "highlight",
    "highlight_answers",
]

__getattr__ = keep_renamed(__name__)
