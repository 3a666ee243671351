"""Finds quotes on the pages of a PDF and writes a copy in which they are highlighted.

The parsing is done by another process, with the limits that the reading of the file has.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pace_integrations.answer import Answer, Citation
from pace_integrations.documents.formats.sniffing import PDF, is_kind
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.quotes.alignment import occurrence_of
from pace_integrations.documents.sandbox.parent import mark_isolated
from pace_integrations.documents.sandbox.request import Request
from pace_integrations.documents.types import Document
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


@dataclass(frozen=True, slots=True)
class HighlightedCopy:
    """A copy of a PDF in which quotes are marked.

    Attributes:
        path: The copy.
        source: The PDF.
        evidence: The quotes.
        rectangles: For every quote the rectangles over its lines; none where it was not found.
    """

    path: str
    source: str
    evidence: tuple[Evidence, ...]
    rectangles: tuple[tuple[Rectangle, ...], ...]


def highlight(
    source: str | os.PathLike[str],
    evidence: Sequence[Evidence],
    target: str | os.PathLike[str] | None = None,
    *,
    options: ReadOptions | None = None,
) -> list[list[Rectangle]]:
    """Find where quotes stand on the pages of a PDF, and mark them in a copy of it.

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


def check_target(target: Path | None) -> None:
    """Refuse a copy that cannot be written, before a model has worked for it.

    Raises:
        DocumentError: Its folder does not exist.
    """
    if target is not None and not target.parent.is_dir():
        raise DocumentError(f"{str(target.parent)!r}, where the copy is to go, is no folder")


def highlight_answers(
    answers: Sequence[tuple[str, Answer]],
    documents: Sequence[Document],
    target: str | os.PathLike[str],
    *,
    options: ReadOptions | None = None,
) -> list[HighlightedCopy]:
    """Write a copy of every PDF that answers cite, with the quotes highlighted.

    Args:
        answers: Questions and their answers.
        documents: What they were asked of, such as ``corpus.documents``.
        target: The first copy; further ones get a number, ``out-2.pdf``.
        options: Limits and password.

    Raises:
        DocumentError: No PDF is cited, or a copy cannot be written.
        MissingExtraError: The ``pdf-fast`` extra is not installed.
    """
    by_source = {d.source: d for d in documents if d.source and is_kind(d.source, PDF)}
    cited: dict[str, list[Evidence]] = {}
    for question, answer in answers:
        for citation in answer.citations:
            if citation.source in by_source and citation.quote:
                found = _make_evidence(by_source[citation.source], citation, question)
                known = cited.setdefault(citation.source, [])
                known += [found] if found not in known else []
    if not cited:
        raise DocumentError("nothing to highlight: the answers cite no page of a PDF file")
    targets = _choose_targets(Path(target), len(cited), documents)
    return [
        _write_copy(source, evidence, path, options)
        for (source, evidence), path in zip(cited.items(), targets, strict=True)
    ]


def _make_evidence(document: Document, citation: Citation, question: str) -> Evidence:
    text = next(page.text for page in document.pages if page.index == citation.page)
    place = occurrence_of(text, *citation.span)
    return Evidence(citation.page, citation.quote, place, question)


def _choose_targets(target: Path, count: int, documents: Sequence[Document]) -> list[Path]:
    """Return where copies go: the path that was named, then numbered ones that are free.

    Raises:
        DocumentError: The path is one of the documents, also under another name.
    """
    sources = [Path(d.source) for d in documents if d.source]
    if target.exists() and any(path.exists() and target.samefile(path) for path in sources):
        raise DocumentError(
            f"{str(target)!r} is the document itself, or another that was read; name another file"
        )
    numbered = (target.with_stem(f"{target.stem}-{number}") for number in itertools.count(2))
    free = (path for path in numbered if not os.path.lexists(path))
    return [target, *itertools.islice(free, count - 1)]


def _write_copy(
    source: str, evidence: Sequence[Evidence], path: Path, options: ReadOptions | None
) -> HighlightedCopy:
    found = highlight(source, evidence, path, options=options)
    return HighlightedCopy(str(path), source, tuple(evidence), tuple(map(tuple, found)))
