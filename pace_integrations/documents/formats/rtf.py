"""Reads Rich Text Format with striprtf."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import LimitExceededError, ParseResult

_TITLE = re.compile(r"\{\\title\s+([^{}\\]*)\}")
_AUTHOR = re.compile(r"\{\\author\s+([^{}\\]*)\}")
_PICTURE = re.compile(r"\\pict\b")
_OBJECT = re.compile(r"\\object\b")
_DATA = re.compile(r"[0-9a-fA-F\s]{400,}")
_ROW = re.compile(r"\|[ \t]*$", re.MULTILINE)
_EMPTY = "The file holds no text; check that it was saved completely."


def parse_rtf(data: bytes, job: ParseJob) -> ParseResult:
    """Read the text; rows of tables come as ``a | b``."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the file is larger than the limit of expanded bytes")
    source = data.decode("latin-1")
    named = [("pictures", _PICTURE), ("embedded objects", _OBJECT)]
    counts = [(what, len(pattern.findall(source))) for what, pattern in named]
    warnings = tuple(f"{what}, not read: {count}" for what, count in counts if count)
    # The digits of pictures would be walked through one by one.
    text = rtf_to_text(_DATA.sub("", source), errors="replace")
    text = _ROW.sub("", text).replace("|", " | ")
    pages = list(split_sections([Block(clean_characters(text))]))
    for page in pages:
        job.emit(page)
    if not pages:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    title, author = (_find(pattern, source) for pattern in (_TITLE, _AUTHOR))
    metadata = {"author": author} if author else {}
    return ParseResult("ok", len(pages), title, metadata, warnings)


def _find(pattern: re.Pattern[str], source: str) -> str | None:
    found = pattern.search(source)
    return " ".join(clean_characters(found[1]).split())[:200] or None if found else None
