"""Pages of a file with a fixed layout: from the lines of all pages to text that reads well.

Knows no format. Lines arrive page by page; running headers and footers, printed page numbers and
words broken over lines can be told only once all pages are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from pace_integrations.documents.formats.capture import limit_lines
from pace_integrations.documents.formats.clean import clean_characters, clean_page, vocabulary
from pace_integrations.documents.formats.printed_labels import find_printed_labels
from pace_integrations.documents.formats.running_lines import Line, RunningLines
from pace_integrations.documents.types import Page, ParseResult, Status

_REMEDIES: dict[Status, str] = {
    "corrupt": "The file is damaged; open it in a viewer, print it to a new PDF and read that.",
    "empty": "The pages are blank; export or download the file again.",
    "no_text_layer": "The pages are pictures; turn on OCR (--ocr eng), or run ocrmypdf on it.",
    "partial": "Look at the pages named in the warnings; scanned pages need OCR.",
}


@dataclass(frozen=True, slots=True)
class Preamble:
    """What a file says beside the text of its pages.

    Attributes:
        count: Pages in the file.
        labels: Label of every page that may be read, or () where the file defines none.
        sections: Heading that every page stands under.
        title: Title, or None.
        metadata: What the file says of itself.
    """

    count: int
    labels: tuple[str, ...] = ()
    sections: tuple[str | None, ...] = ()
    title: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawPage:
    """The lines of one page as its parser found them.

    Attributes:
        index: 1-based position in the file.
        lines: The lines in reading order.
        problem: Why it could not be read, or None.
        blank: Whether a page without lines has nothing on it that could be text.
    """

    index: int
    lines: tuple[Line, ...]
    problem: str | None = None
    blank: bool = False


PageRecord: TypeAlias = "Page | RawPage | Preamble"
"""What a parser emits: finished pages, or a preamble and then raw pages."""


def to_record(part: PageRecord) -> dict[str, Any]:
    """Return a part as JSON-ready values."""
    if isinstance(part, RawPage):
        lines = [(line.text, line.top, line.cells, line.size) for line in part.lines]
        return {"raw": [part.index, lines, part.problem, part.blank]}
    name = "page" if isinstance(part, Page) else "preamble"
    return {name: {key: getattr(part, key) for key in part.__slots__}}


def from_record(record: Mapping[str, Any]) -> PageRecord:
    """Return the part that `to_record` took apart."""
    if "raw" in record:
        index, lines, problem, blank = record["raw"]
        made = tuple(Line(text, top, tuple(cells), size) for text, top, cells, size in lines)
        return RawPage(index, made, problem, blank)
    if "page" in record:
        return Page(**record["page"])
    values = record["preamble"]
    return Preamble(
        values["count"],
        tuple(values["labels"]),
        tuple(values["sections"]),
        values["title"],
        values["metadata"],
    )


def format_ranges(indices: Sequence[int]) -> str:
    """Return page numbers as people write them: ``3, 5-9``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _choose_labels(preamble: Preamble, pages: Sequence[RawPage]) -> dict[int, str | None]:
    """Return the label of every page: the file's, else the printed one, else its index."""
    if any(preamble.labels):
        given = enumerate(preamble.labels, 1)
        return {index: label or str(index) for index, label in given}
    printed = find_printed_labels({page.index: page.lines for page in pages})
    taken = set(printed.values())
    return {
        p.index: printed.get(p.index, None if str(p.index) in taken else str(p.index))
        for p in pages
    }


def assemble_pages(
    result: ParseResult, preamble: Preamble, pages: Sequence[RawPage]
) -> ParseResult:
    """Clean the pages in the light of the whole document and put all into one result.

    Args:
        result: What the parser said at its end; its status is kept unless it is ``ok``.
        preamble: What the file says beside its pages.
        pages: The pages parsed, in order.
    """
    running, words = RunningLines(), set[str]()
    for page in pages:
        if any(line.text.strip() for line in page.lines):  # a flood of blank pages takes no time
            running.count_page(page.lines, page.index)
            text = clean_characters("\n".join(line.text for line in page.lines))
            words |= vocabulary([text])
    labels = _choose_labels(preamble, pages)
    made, pictures, blank = list[Page](), list[int](), list[int]()
    for page in pages:
        body, header, footer = running.split_page(page.lines, page.index)
        text = clean_page(clean_characters(body), words)
        section = preamble.sections[page.index - 1] if preamble.sections else None
        if page.problem is None and text:
            label = labels.get(page.index, str(page.index))
            made.append(Page(page.index, label, text, section, header, footer))
        elif page.problem is None:
            (blank if page.blank else pictures).append(page.index)
    problems = [page.problem for page in pages if page.problem is not None]
    parsed = pages[-1].index if pages else 0
    status = _choose_status(len(made), pictures, problems, parsed == preamble.count)
    named = [f"pages without text: {format_ranges(pictures)}"] if pictures and made else []
    named += [f"pages that are blank: {format_ranges(blank)}"] if blank and made else []
    # First what concerns many pages: of a flood of warnings only the first ones are shown.
    status = status if result.status == "ok" else result.status
    return replace(
        result,
        status=status,
        remedy=result.remedy or _REMEDIES.get(status),
        page_count=preamble.count,
        title=preamble.title,
        metadata=preamble.metadata,
        warnings=limit_lines([*named, *result.warnings, *problems]),
        pages=tuple(made),
    )


def _choose_status(
    read: int, pictures: Sequence[int], problems: Sequence[str], complete: bool
) -> Status:
    if read:
        return "ok" if complete and not pictures and not problems else "partial"
    return "corrupt" if problems else "no_text_layer" if pictures else "empty"
