"""Finds quotes on the pages of a PDF and writes a copy in which they are highlighted.

The parsing is done by another process, with the limits that the reading of the file has.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.sandbox.child import Request
from pace_integrations.documents.sandbox.parent import mark_isolated
from pace_integrations.errors import DocumentError, MissingExtraError

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Words on a page that support an answer.

    Attributes:
        page: 1-based index of the page in the file.
        quote: The words.
        occurrence: Which place to take where the page has the words several times, from 0.
        note: What a viewer shows beside the words.
    """

    page: int
    quote: str
    occurrence: int = 0
    note: str = ""


def highlight(
    source: str | os.PathLike[str],
    evidence: Sequence[Evidence],
    target: str | os.PathLike[str] | None = None,
    *,
    options: ReadOptions | None = None,
) -> list[list[Rectangle]]:
    """Finds where quotes stand on the pages of a PDF, and marks them in a copy of it.

    Args:
        source: The PDF.
        evidence: The quotes.
        target: Where to write the copy, or None to write none.
        options: Limits and password; a password's callback is not asked.

    Returns:
        For every quote the rectangles over its lines, as left, bottom, right and top in points of
        the page's own coordinates; none where it is not found.

    Raises:
        DocumentError: The file cannot be parsed, or the copy cannot be written.
        MissingExtraError: The ``pdf-fast`` extra is not installed.
    """
    if importlib.util.find_spec("pypdfium2") is None:
        raise MissingExtraError("highlighting quotes", "pdf-fast")
    chosen = options or ReadOptions()
    request = Request(
        str(Path(source).absolute()),
        "",
        chosen.limits,
        password=chosen.password if isinstance(chosen.password, str) else None,
        marks=tuple((item.page, item.quote, item.occurrence, item.note) for item in evidence),
        target="" if target is None else str(Path(target).resolve()),
    )
    found, problem = mark_isolated(request)
    if found is None:
        raise DocumentError(
            f"{str(source)!r}: the quotes cannot be highlighted ({problem}); check the file and "
            f"that {str(target)!r} can be written"
        )
    return [[_rectangle(values) for values in rectangles] for rectangles in found]


def _rectangle(values: Sequence[float]) -> Rectangle:
    left, bottom, right, top = values
    return left, bottom, right, top
