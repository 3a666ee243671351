"""Reads OpenDocument files: texts, sheets and slides, by one walk over their XML."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import replace

from lxml import etree

from pace_integrations.documents.formats.archives import (
    find_all,
    get_attribute,
    local_name,
    open_archive,
    parse_xml,
    read_part,
)
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.csv_table import slice_rows
from pace_integrations.documents.formats.odf_styles import OdfStyles, form_values
from pace_integrations.documents.formats.odf_walk import SHAPES, OdfWalk
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import Page, ParseResult

_LONGEST = 200
_LOCKED = "Give its password to its own program, and save a copy without one."
_EMPTY = "The document holds no text; check that it was saved completely."
_LIBRARY_LISTS = ("/", "-lb.xml", "-lc.xml")
_FIELDS = ("page-number", "page-count", "sheet-name", "date", "time", "title", "file-name")
_COUNT_WORDS = 2  # beside a page's number
_META = {"creator": "author", "initial-creator": "author", "subject": "subject"}


def _margin_lines(walk: OdfWalk, styles: etree._Element | None, kind: str) -> list[str]:
    found: list[str] = []
    kinds = (kind, f"{kind}-first", f"{kind}-left")
    for part in find_all(styles, *kinds) if styles is not None else ():
        found += [block.text.strip() for block in walk.blocks(part)]
    return list(dict.fromkeys(line for line in found if line and not line.isdigit()))


def _text_pages(
    walk: OdfWalk, body: etree._Element, styles: etree._Element | None
) -> Iterator[Page]:
    header, footer = (_margin_lines(walk, styles, kind) for kind in ("header", "footer"))
    blocks = [Block(f"{line}\n") for line in header]
    blocks += walk.blocks(body)
    blocks += [Block(f"{line}\n") for line in footer]
    yield from split_sections(blocks)


def _sheet_pages(
    walk: OdfWalk, body: etree._Element, styles: etree._Element | None
) -> Iterator[Page]:
    index, margins = 1, list(_printed_margins(styles))
    for table in (child for child in body if local_name(child) == "table"):
        if get_attribute(table, "style-name") in walk.styles.hidden:
            walk.read_too["hidden sheets"] += 1
        name, last = get_attribute(table, "name") or "", None
        for page in slice_rows(walk.rows(table), name, index):
            if last is not None:
                yield last
            last, index = page, page.index + 1
        beside = [block.text.strip("\n") for block in _beside_rows(walk, table)]
        beside += margins
        margins = []
        if last is None and beside:
            last, index = Page(index, None, f"[Sheet {name}]", name), index + 1
        if last is not None:
            yield replace(last, text="\n".join([last.text, *filter(None, beside)]))


def _beside_rows(walk: OdfWalk, table: etree._Element) -> Iterator[Block]:
    """Yield what lies on a sheet and in no cell: charts and text boxes, fields of forms."""
    for part in table:
        if local_name(part) == "shapes":
            yield from walk.shape_blocks(part)
        elif local_name(part) == "forms":
            yield from (Block(line) for line in form_values(part))


def _printed_margins(styles: etree._Element | None) -> Iterator[str]:
    """Yield the words of the headers and footers that sheets are printed with, each once."""
    seen = set[str]()
    for part in find_all(styles, "header", "footer") if styles is not None else ():
        for paragraph in find_all(part, "p"):
            counted = any(local_name(e) == "page-number" for e in paragraph.iter())
            text = " ".join("".join(_fixed_words(paragraph)).split())
            # "Page 1 of 2" is for printers.
            worded = len(text.split()) > _COUNT_WORDS if counted else any(map(str.isalnum, text))
            if worded and text not in seen:
                seen.add(text)
                yield f"[{local_name(part).capitalize()}: {clean_characters(text)}]"


def _fixed_words(paragraph: etree._Element) -> Iterator[str]:
    """Yield the text of a paragraph without its fields, whose values are those of one printing."""
    if local_name(paragraph) not in _FIELDS:
        yield paragraph.text or ""
        for child in paragraph:
            yield from _fixed_words(child)
            yield child.tail or ""


def _master_lines(walk: OdfWalk, styles: etree._Element | None, name: str) -> Iterator[str]:
    """Yield the fixed words that a master shows on each of its slides."""
    for master in find_all(styles, "master-page") if styles is not None else ():
        if get_attribute(master, "name") == name:
            for shape in master:
                if local_name(shape) in SHAPES and get_attribute(shape, "class") is None:
                    walk.read_frame(shape)
            yield from walk.take_after()


def _slide_pages(
    walk: OdfWalk, body: etree._Element, styles: etree._Element | None
) -> Iterator[Page]:
    slides = [child for child in body if local_name(child) == "page"]
    running = ["".join(e.itertext()).strip() for e in find_all(body, "footer-decl", "header-decl")]
    masters = set[str]()
    for index, slide in enumerate(slides, 1):
        lines: list[str] = []
        for part in slide:
            if local_name(part) == "notes":
                notes = (block.text.strip() for block in walk.blocks(part))
                lines += [f"[Speaker note: {note}]" for note in notes if note]
            else:
                walk.read_frame(part)
                lines += walk.take_after()
        lines += dict.fromkeys(filter(None, running)) if index == 1 else ()
        master = get_attribute(slide, "master-page-name") or ""
        lines += _master_lines(walk, styles, master) if master not in masters else ()
        masters.add(master)
        text = clean_characters("\n".join(lines))
        if text:
            title = text.split("\n", 1)[0][:_LONGEST]
            yield Page(index, None, text, f"slide {index}: {title}")


def _is_locked(archive: zipfile.ZipFile) -> bool:
    manifest = read_part(archive, "META-INF/manifest.xml")
    return manifest is not None and any(True for _ in find_all(manifest, "encryption-data"))


def _has_macros(archive: zipfile.ZipFile) -> bool:
    """Tell whether a document holds programs, and not only the lists of their libraries."""
    names = (name for name in archive.namelist() if name.startswith(("Basic/", "Scripts/")))
    return any(not name.endswith(_LIBRARY_LISTS) for name in names)


def _read_metadata(root: etree._Element | None) -> tuple[str | None, dict[str, str]]:
    title, values = None, dict[str, str]()
    for element in root.iter() if root is not None else ():
        name = local_name(element)
        text = " ".join(clean_characters(element.text or "").split())[:_LONGEST]
        if text and name == "title" and title is None:
            title = text
        elif text and name in _META:
            values[_META[name]] = text
    return title, values


def _load_objects(
    archive: zipfile.ZipFile, content: etree._Element
) -> dict[str, etree._Element | None]:
    """Return the equations and charts that a document embeds, by the links to them."""
    links = {get_attribute(entry, "href") or "" for entry in find_all(content, "object")}
    return {
        link: read_part(archive, f"{posixpath.normpath(link)}/content.xml")
        for link in links
        if link
    }


def parse_odf(data: bytes, job: ParseJob) -> ParseResult:
    """Read a text in sections, a spreadsheet in slices of rows, a presentation slide by slide."""
    if data.startswith(b"PK"):
        with open_archive(data, job.options.limits.expanded) as archive:
            if _is_locked(archive):
                return ParseResult("encrypted", remedy=_LOCKED)
            content = parse_xml(archive.read("content.xml"))
            styles, meta = (read_part(archive, f"{name}.xml") for name in ("styles", "meta"))
            objects, macros = _load_objects(archive, content), _has_macros(archive)
    else:  # all in one file
        content = parse_xml(data)
        styles = meta = content
        objects, macros = {}, False
    body = next(find_all(content, "body"), None)
    if body is None or not len(body):
        raise ValueError("the file has no body")
    roots = [root for root in (styles, content) if root is not None]
    walk = OdfWalk(OdfStyles.load(roots), objects.get)
    walk.left_out["macros"] += macros
    makers = {"spreadsheet": _sheet_pages, "presentation": _slide_pages, "drawing": _slide_pages}
    count = 0
    for page in makers.get(local_name(body[0]), _text_pages)(walk, body[0], styles):
        job.emit(page)
        count = page.index
    title, metadata = _read_metadata(meta)
    read = (f"{what}, read: {n}" for what, n in walk.read_too.items() if n)
    left_out = (f"{what}, not read: {n}" for what, n in walk.left_out.items() if n)
    warnings = (*read, *left_out)
    if not count:
        return ParseResult("empty", 1, title, metadata, warnings, _EMPTY)
    return ParseResult("ok", count, title, metadata, warnings)
