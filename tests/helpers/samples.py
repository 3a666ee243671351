"""A small file of every format, each of which says that the ferry leaves at six."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO

from pdfs import typeset

SAID = "at six"
WORDPROCESSING = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def archive(members: dict[str, str]) -> bytes:
    """A zip archive of texts."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            # EPUB and OpenDocument want their kind uncompressed.
            stored = zipfile.ZIP_STORED if name == "mimetype" else None
            file.writestr(name, text, stored)
    return buffer.getvalue()


def relations(part: str, **targets: str) -> dict[str, str]:
    """The relations of a part: targets by their ids, whose letters are the kind (`header1`)."""
    folder, _, name = part.rpartition("/")
    rows = "".join(
        f'<Relationship Id="{key}" Type="{_RELATIONS}/{key.rstrip("0123456789")}" Target="{to}"/>'
        for key, to in targets.items()
    )
    path = f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels"
    return {path: f'<Relationships xmlns="{_PACKAGE}">{rows}</Relationships>'}


def word(body: str, *, name: str = "word/document.xml", **parts: str) -> bytes:
    """A Word document of raw XML; parts are named by their kind, as in ``footnotes=``."""
    space = (
        f'xmlns:w="{WORDPROCESSING}" xmlns:r="{_RELATIONS}" '
        'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
        'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
        'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
    )
    members = {name: f"<w:document {space}><w:body>{body}</w:body></w:document>"}
    members |= {
        f"word/{key}.xml": f"<w:{key} {space}>{text}</w:{key}>" for key, text in parts.items()
    }
    members |= relations(name, **{key: f"{key}.xml" for key in parts})
    return archive({**relations("", officeDocument=name), **members})


def paragraph(text: str, properties: str = "") -> str:
    """A paragraph of raw XML."""
    return (
        f'<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'
    )


def sheets(**rows: list[list[object]]) -> bytes:
    """A workbook of sheets by their names."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, values in rows.items():
        sheet = book.create_sheet(name)
        for row in values:
            sheet.append(row)
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"


def shape(text: str, kind: str = "body") -> str:
    """A shape of a slide with a paragraph of text."""
    return (
        f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r>'
        f"<a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def slides(*trees: str, note: str = "") -> bytes:
    """A presentation of slides of raw XML, the first with a speaker's note."""
    space = f'xmlns:a="{_A}" xmlns:p="{_P}" xmlns:r="{_RELATIONS}"'
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="slide{n}"/>' for n in range(1, len(trees) + 1))
    main = "ppt/presentation.xml"
    members = {main: f"<p:presentation {space}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"}
    targets = {f"slide{n}": f"slides/slide{n}.xml" for n in range(1, len(trees) + 1)}
    members |= relations(main, **targets)
    for n, tree in enumerate(trees, 1):
        members[f"ppt/slides/slide{n}.xml"] = (
            f"<p:sld {space}><p:cSld><p:spTree>{tree}</p:spTree></p:cSld></p:sld>"
        )
    if note:
        members |= relations("ppt/slides/slide1.xml", notesSlide="../notesSlides/one.xml")
        members["ppt/notesSlides/one.xml"] = (
            f"<p:notes {space}><p:cSld><p:spTree>{shape(note)}</p:spTree></p:cSld></p:notes>"
        )
    return archive({**relations("", officeDocument=main), **members})


def open_document(body: str, *, styles: str = "", kind: str = "text", **members: str) -> bytes:
    """An OpenDocument file of raw XML."""
    names = ("office", "text", "table", "style", "draw", "fo", "presentation")
    space = " ".join(f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in names)
    space += ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
    content = (
        f"<office:document-content {space}><office:automatic-styles>{styles}"
        f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}>"
        "</office:body></office:document-content>"
    )
    return archive(
        {"mimetype": "application/vnd.oasis.opendocument", "content.xml": content, **members}
    )


def book(chapters: dict[str, str], spine: list[str], extra: dict[str, str] | None = None) -> bytes:
    """An EPUB of XHTML chapters."""
    items = "".join(
        f'<item id="{name}" href="text/{name}.xhtml" media-type="application/xhtml+xml"/>'
        for name in chapters
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in spine)
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Sea stories</dc:title>'
        f"<dc:creator>M. Reed</dc:creator></metadata><manifest>{items}</manifest>"
        f"<spine>{order}</spine></package>"
    )
    texts = {f"OPS/text/{name}.xhtml": text for name, text in chapters.items()}
    parts = {"META-INF/container.xml": container, "OPS/book.opf": package, **texts}
    return archive({"mimetype": "application/epub+zip", **parts, **(extra or {})})


def chapter(heading: str, text: str) -> str:
    """A chapter of a book."""
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head>'
        f"<title/></head><body><h1>{heading}</h1><p>{text}</p></body></html>"
    )


_SENTENCE = f"The ferry leaves {SAID}."
SAMPLES: dict[str, Callable[[], bytes]] = {
    "pdf": lambda: typeset(_SENTENCE),
    "docx": lambda: word(paragraph(_SENTENCE)),
    "xlsx": lambda: sheets(Ferry=[["ferry", "leaves"], ["Lunde", SAID]]),
    "pptx": lambda: slides(shape("Ferry", "title") + shape(_SENTENCE)),
    "odt": lambda: open_document(f"<text:p>{_SENTENCE}</text:p>"),
    "epub": lambda: book({"one": chapter("Ferry", _SENTENCE)}, ["one"]),
}
"""Formats that are written by programs; the others have an example in their row of the table."""
