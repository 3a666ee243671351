"""``pace ask --highlight``: copies of the cited PDFs with the evidence marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pace_integrations.answer import Answer, Citation
from pace_integrations.cli.output import Output
from pace_integrations.documents import Corpus, Document, Evidence, ReadOptions, highlight
from pace_integrations.documents.formats.sniffing import PDF, is_kind
from pace_integrations.documents.quotes.alignment import occurrence_of
from pace_integrations.errors import DocumentError, PaceError

if TYPE_CHECKING:
    from pace_integrations.session import Session

Highlight = Annotated[
    Path | None,
    typer.Option(metavar="OUT.PDF", help="Write a copy of the cited PDF with the evidence marked."),
]


def _documents(corpus: Corpus) -> dict[str, Document]:
    """The documents that came from PDF files, by path."""
    named = ((document.source, document) for document in corpus.documents)
    return {source: document for source, document in named if source and is_kind(source, PDF)}


def _evidence(document: Document, citation: Citation, question: str) -> Evidence:
    text = next(page.text for page in document.pages if page.index == citation.page)
    place = occurrence_of(text, *citation.span)
    return Evidence(citation.page, citation.quote, place, question)


def _targets(target: Path, count: int) -> list[Path]:
    """``out.pdf``, ``out-2.pdf`` and so on: one copy for each file that is cited."""
    others = (target.with_stem(f"{target.stem}-{number}") for number in range(2, count + 1))
    return [target, *others][:count]


def check_target(target: Path | None) -> None:
    """Refuses a copy that cannot be written before a model has worked for it.

    Raises:
        DocumentError: Its folder does not exist.
    """
    if target is not None and not target.parent.is_dir():
        raise DocumentError(f"{str(target.parent)!r}, where the copy is to go, is no folder")


def write_highlights(
    answers: Sequence[tuple[str, Answer]], corpus: Corpus, target: Path, options: ReadOptions
) -> list[dict[str, Any]]:
    """Writes a copy of every PDF that the answers cite, with the quotes highlighted.

    Args:
        answers: Questions and their answers.
        corpus: What they were asked of.
        target: The first copy; further ones get a number.
        options: Limits and password.

    Returns:
        For every copy its ``path``, the ``source`` and the ``quotes`` with page and rectangles.

    Raises:
        DocumentError: No PDF is cited, or a copy cannot be written.
    """
    documents = _documents(corpus)
    cited: dict[str, list[Evidence]] = {}
    for question, answer in answers:
        for citation in answer.citations:
            if citation.source in documents and citation.quote:
                found = _evidence(documents[citation.source], citation, question)
                known = cited.setdefault(citation.source, [])
                known += [found] if found not in known else []
    if not cited:
        raise DocumentError("nothing to highlight: the answers cite no page of a PDF file")
    targets = _targets(target, len(cited))
    return [
        _written(source, evidence, path, options)
        for (source, evidence), path in zip(cited.items(), targets, strict=True)
    ]


def _written(
    source: str, evidence: Sequence[Evidence], path: Path, options: ReadOptions
) -> dict[str, Any]:
    if path.exists() and path.samefile(source):
        raise DocumentError(f"{str(path)!r} is the document itself; name another file")
    boxes = highlight(source, evidence, path, options=options)
    quotes = [
        {"page": item.page, "quote": item.quote, "rectangles": found}
        for item, found in zip(evidence, boxes, strict=True)
    ]
    return {"path": str(path), "source": source, "quotes": quotes}


def finish_answers(
    output: Output,
    session: Session,
    answers: Sequence[tuple[str, Answer]],
    target: Path | None,
    options: ReadOptions,
) -> None:
    """Ends ``pace ask``, with copies if wanted; where none can be written, the answers stand.

    Raises:
        typer.Exit: A copy could not be written.
    """
    if target is None:
        output.finish_answers(session)
        return
    try:
        copies = write_highlights(answers, session.corpus or Corpus(()), target, options)
    except PaceError as error:
        output.finish_answers(session, problem=error)
        raise typer.Exit(2) from None
    output.show_notes(_describe_copies(copies))
    output.finish_answers(session, copies)


def _describe_copies(copies: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was written, a line for each copy."""
    lines = []
    for copy in copies:
        found = sum(bool(quote["rectangles"]) for quote in copy["quotes"])
        pages = ", ".join(str(page) for page in sorted({q["page"] for q in copy["quotes"]}))
        count = len(copy["quotes"])
        lines.append(f"{copy['path']}: {found} of {count} quotes highlighted (pages {pages})")
    return lines
