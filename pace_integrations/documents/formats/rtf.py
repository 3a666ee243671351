"""Reads Rich Text Format."""

from __future__ import annotations

from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.rtf_walk import RtfWalk
from pace_integrations.documents.formats.sectioning import split_sections
from pace_integrations.documents.types import LimitExceededError, ParseResult

_EMPTY = "The file holds no text; check that it was saved completely."
_LONGEST = 200


def parse_rtf(data: bytes, job: ParseJob) -> ParseResult:
    """Read the text with what hangs on it; rows of tables come as ``a | b``."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the file is larger than the limit of expanded bytes")
    walk = RtfWalk(data.decode("latin-1"))
    count = 0
    for page in split_sections(walk.blocks()):
        job.emit(page)
        count = page.index
    warnings = tuple(f"{what}, not read: {n}" for what, n in walk.left_out.items() if n)
    if not count:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    title, author = (walk.info.get(key, "")[:_LONGEST] for key in ("title", "author"))
    metadata = {"author": author} if author else {}
    return ParseResult("ok", count, title or None, metadata, warnings)
