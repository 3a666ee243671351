"""Reads OpenDocument files: texts, sheets and slides, by one walk over their XML."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator

from lxml import etree

from pace_integrations.documents.formats.archives import (
    get_attribute,
    local_name,
    open_archive,
    parse_xml,
    read_part,
)
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.csv_table import slice_rows
from pace_integrations.documents.formats.odf_styles import OdfStyles
from pace_integrations.documents.formats.odf_walk import OdfWalk
from pace_integrations.documents.formats.ooxml import find_all
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import Page, ParseResult

_LONGEST = 200
_LOCKED = "Give its password to its own program, and save a copy without one."
_EMPTY = "The document holds no text; check that it was saved completely."
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


def _sheet_pages(walk: OdfWalk, body: etree._Element) -> Iterator[Page]:
    index = 1
    for table in (child for child in body if local_name(child) == "table"):
        if get_attribute(table, "style-name") in walk.styles.hidden:
            walk.left_out["hidden sheets"] += 1
        for page in slice_rows(walk.rows(table), get_attribute(table, "name") or "", index):
            yield page
            index = page.index + 1


def _slide_pages(walk: OdfWalk, body: etree._Element) -> Iterator[Page]:
    slides = [child for child in body if local_name(child) == "page"]
    running = ["".join(e.itertext()).strip() for e in find_all(body, "footer-decl", "header-decl")]
    for index, slide in enumerate(slides, 1):
        lines: list[str] = []
        for part in slide:
            if local_name(part) == "notes":
                notes = (block.text.strip() for block in walk.blocks(part))
                lines += [f"[Speaker note: {note}]" for note in notes if note]
            else:
                walk.read_frame(part)
                lines += walk.after
                walk.after = []
        lines += dict.fromkeys(filter(None, running)) if index == 1 else ()
        text = clean_characters("\n".join(lines))
        if text:
            title = text.split("\n", 1)[0][:_LONGEST]
            yield Page(index, None, text, f"slide {index}: {title}")


def _is_locked(archive: zipfile.ZipFile) -> bool:
    manifest = read_part(archive, "META-INF/manifest.xml")
    return manifest is not None and any(True for _ in find_all(manifest, "encryption-data"))


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
            objects = _load_objects(archive, content)
    else:  # all in one file
        content = parse_xml(data)
        styles = meta = content
        objects = {}
    body = next(find_all(content, "body"), None)
    if body is None or not len(body):
        raise ValueError("the file has no body")
    roots = [root for root in (styles, content) if root is not None]
    walk = OdfWalk(OdfStyles.load(roots), objects.get)
    makers = {"spreadsheet": _sheet_pages, "presentation": _slide_pages, "drawing": _slide_pages}
    inner, kind = body[0], local_name(body[0])
    count = 0
    pages = makers[kind](walk, inner) if kind in makers else _text_pages(walk, inner, styles)
    for page in pages:
        job.emit(page)
        count = page.index
    title, metadata = _read_metadata(meta)
    warnings = tuple(
        f"{what}, {'read' if what == 'hidden sheets' else 'not read'}: {number}"
        for what, number in walk.left_out.items()
        if number
    )
    if not count:
        return ParseResult("empty", 1, title, metadata, warnings, _EMPTY)
    return ParseResult("ok", count, title, metadata, warnings)
