"""``pace ask --highlight``: copies of the cited PDFs with the evidence marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pace_integrations.answer import Answer
from pace_integrations.cli.arguments import parse_path
from pace_integrations.cli.output import HoldsCorpus, Output
from pace_integrations.documents import HighlightedCopy, ReadOptions, highlight_answers
from pace_integrations.documents.highlight import check_target as check_target
from pace_integrations.errors import PaceError

Highlight = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT.PDF",
        parser=parse_path,
        help="Write a copy of the cited PDF with the evidence marked.",
    ),
]


def finish_answers(
    output: Output,
    asked: HoldsCorpus,
    answers: Sequence[tuple[str, Answer]],
    target: Path | None,
    options: ReadOptions,
) -> None:
    """End ``pace ask``, with copies if asked for; where none can be written, the answers stand.

    Raises:
        typer.Exit: A copy could not be written.
    """
    if target is None:
        output.finish_answers(asked)
        return
    documents = asked.corpus.documents if asked.corpus is not None else ()
    try:
        copies = highlight_answers(answers, documents, target, options=options)
    except PaceError as error:
        output.finish_answers(asked, problem=error)
        raise typer.Exit(2) from None
    output.show_notes([_describe_copy(copy) for copy in copies])
    output.finish_answers(asked, [_to_json(copy) for copy in copies])


def _describe_copy(copy: HighlightedCopy) -> str:
    found = sum(map(bool, copy.rectangles))
    pages = ", ".join(str(page) for page in sorted({item.page for item in copy.evidence}))
    return f"{copy.path}: {found} of {len(copy.evidence)} quotes highlighted (pages {pages})"


def _to_json(copy: HighlightedCopy) -> dict[str, Any]:
    quotes = [
        {"page": item.page, "quote": item.quote, "rectangles": list(found)}
        for item, found in zip(copy.evidence, copy.rectangles, strict=True)
    ]
    return {"path": copy.path, "source": copy.source, "quotes": quotes}
