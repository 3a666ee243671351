"""Files into pages: what was read, page by page, and what became of every file."""

from __future__ import annotations

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

_RENAMED: dict[str, object] = {"Reading": ParseResult, "Reader": Parser}  # for one release


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        return _RENAMED[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
