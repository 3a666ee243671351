"""Reads Word documents with python-docx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import docx
from docx.document import Document
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from pace_integrations.documents.formats.archives import open_archive
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.types import Page, ParseResult

_EMPTY = "The document holds no text; check that it was saved whole."
_LONGEST = 200
_BREAK, _RENDERED, _TYPE = qn("w:br"), qn("w:lastRenderedPageBreak"), qn("w:type")
_PROPERTIES = ("author", "subject", "keywords", "created")


def _pieces(paragraph: Paragraph, rendered: bool) -> Iterator[str]:
    """The paragraph's text in pieces; a form feed stands for a page break."""
    for element in paragraph._p.iter():
        if element.tag == qn("w:t"):
            yield element.text or ""
        elif element.tag in (qn("w:tab"), qn("w:cr"), qn("w:noBreakHyphen")):
            # Tab stops in the paragraph's properties share the name of the character.
            if element.getparent().tag == qn("w:r"):
                yield "-" if element.tag == qn("w:noBreakHyphen") else " "
        elif element.tag == _RENDERED and rendered:
            yield "\f"
        elif element.tag == _BREAK:
            page = element.get(_TYPE) == "page"
            yield "\n" if not page else "" if rendered else "\f"


def _rows(table: Table) -> Iterator[str]:
    """The rows of a table; cells that span columns come once."""
    for row in table.rows:
        cells = {id(cell._tc): cell for cell in row.cells}
        texts = [" ".join(cell.text.split()) for cell in cells.values()]
        if any(texts):
            yield " | ".join(texts)


def _texts(document: Document) -> Iterator[tuple[str, str | None]]:
    """Every paragraph and row with the heading it stands under."""
    body = document.element.body
    rendered = next(body.iter(_RENDERED), None) is not None
    section: str | None = None
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            yield from ((row, section) for row in _rows(item))
            yield "", section
            continue
        text = "".join(_pieces(item, rendered))
        style = item.style.name if item.style is not None else ""
        if (style or "").startswith(("Heading", "Title")) and text.strip():
            section = " ".join(clean_characters(text.replace("\f", " ")).split())[:_LONGEST]
        yield text, section


def _pages(document: Document) -> tuple[tuple[Page, ...], int]:
    """The pages that carry text, and the number of all pages."""
    bodies: list[list[str]] = [[]]
    sections: list[str | None] = [None]
    for text, section in _texts(document):
        for number, part in enumerate(text.split("\f")):
            if number:
                bodies.append([])
                sections.append(None)
            bodies[-1].append(part)
            if sections[-1] is None and part.strip():
                sections[-1] = section
    cleaned = [clean_characters("\n".join(lines)) for lines in bodies]
    parts = enumerate(zip(cleaned, sections, strict=True), 1)
    pages = tuple(Page(i, None, text, section) for i, (text, section) in parts if text)
    return pages, len(cleaned)


def _metadata(document: Document) -> dict[str, str]:
    core = document.core_properties
    values = {name: str(getattr(core, name) or "") for name in _PROPERTIES}
    cleaned = {name: " ".join(clean_characters(v).split())[:_LONGEST] for name, v in values.items()}
    return {name: value for name, value in cleaned.items() if value}


@dataclass(frozen=True, slots=True)
class DocxFiles:
    """Reads Word documents, page by page where Word left its page breaks.

    Attributes:
        expanded_limit: Most bytes of the archive's members, uncompressed.
    """

    expanded_limit: int = 512 * 2**20

    def read(self, data: bytes, suffix: str) -> ParseResult:
        """Reads paragraphs and tables in their order; headers and footers are not part of it."""
        open_archive(data, self.expanded_limit).close()
        document = docx.Document(BytesIO(data))
        pages, count = _pages(document)
        if not pages:
            return ParseResult("empty", page_count=count, remedy=_EMPTY)
        title = " ".join(clean_characters(document.core_properties.title or "").split())
        metadata = _metadata(document)
        return ParseResult("ok", pages, count, title[:_LONGEST] or None, metadata)
