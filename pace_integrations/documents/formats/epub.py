"""Reads EPUB books: XHTML chapters in a zip archive, in the order of the book's spine."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.entities import html5
from urllib.parse import unquote

from lxml import etree

from pace_integrations.documents.formats.archives import get_attribute, open_archive, parse_xml
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.html import find_title
from pace_integrations.documents.formats.html_walk import HtmlText, read_element
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, format_path, split_sections
from pace_integrations.documents.types import Page, ParseResult, Status

_CONTAINER = "META-INF/container.xml"
_CHAPTERS = frozenset(
    {"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"}
)
_DUBLIN = "{http://purl.org/dc/elements/1.1/}"
_PROPERTIES = {"creator": "author", "language": "language", "publisher": "publisher"}
_LONGEST = 200
_LEAD = 400
_NAMED = re.compile(rb"&([A-Za-z][A-Za-z0-9]*);")
_EMPTY = "The book holds no text; if its pages are pictures, convert it to PDF and run OCR."
_PARTLY = "Look at the chapters named in the warnings."
_LOCKED = "The book is locked to a reading program; get a copy without copy protection."
_RIGHTS = "META-INF/encryption.xml"


def _number_entity(match: re.Match[bytes]) -> bytes:
    """Return a named character of HTML as a numbered one; XML itself knows five names only."""
    name = match[1].decode("ascii")
    if name in ("amp", "lt", "gt", "quot", "apos") or f"{name};" not in html5:
        return match[0]
    return b"".join(b"&#%d;" % ord(char) for char in html5[f"{name};"])


def _parse_part(data: bytes) -> etree._Element:
    """Parse a part of a book, with the names that HTML has for characters."""
    return parse_xml(_NAMED.sub(_number_entity, data))


def _open_book(archive: zipfile.ZipFile) -> tuple[etree._Element, str]:
    """Return the package document, and the folder that its links start from."""
    container = _parse_part(archive.read(_CONTAINER))
    path = next(container.iter("{*}rootfile")).get("full-path") or ""
    return _parse_part(archive.read(path)), posixpath.dirname(path)


def _walk_spine(package: etree._Element, folder: str) -> Iterator[str]:
    """Yield the paths of the chapters within the archive, in reading order."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _CHAPTERS:
            continue
        if "nav" not in (item.get("properties") or "").split():
            yield _join_path(folder, item)


def _join_path(folder: str, item: etree._Element) -> str:
    """Return the path of an item; some books name places within their chapters."""
    href = (item.get("href") or "").partition("#")[0]
    return posixpath.normpath(posixpath.join(folder, unquote(href)))


def _count_pictures(package: etree._Element) -> int:
    """Return how many pages in the order of a book are pictures."""
    kinds = {item.get("id"): item.get("media-type") or "" for item in package.iter("{*}item")}
    order = (kinds.get(entry.get("idref"), "") for entry in package.iter("{*}itemref"))
    return sum(kind.startswith("image/") for kind in order)


def _find_loose(package: etree._Element, folder: str, chapters: list[str]) -> set[str]:
    """Return the chapters that a book holds outside of its order."""
    return {
        _join_path(folder, item)
        for item in package.iter("{*}item")
        if item.get("media-type") in _CHAPTERS and "nav" not in (item.get("properties") or "")
    } - set(chapters)


def _read_metadata(package: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in package.iter(f"{_DUBLIN}*"):
        name = str(element.tag).removeprefix(_DUBLIN)
        value = " ".join(clean_characters("".join(element.itertext())).split())[:_LONGEST]
        key = "title" if name == "title" else _PROPERTIES.get(name)
        if key and value:
            found.setdefault(key, value)
    return found


def _read_chapter(
    archive: zipfile.ZipFile, path: str, marks: Mapping[str, Mapping[str, str]]
) -> tuple[HtmlText, str | None]:
    """Return the text of a chapter and its heading."""
    root = _parse_part(archive.read(path))
    bodies = list(root.iter("{*}body"))
    found = read_element(bodies[0] if bodies else root, marks.get(path, {}))
    return found, _find_heading(root) or find_title(root)


def _find_heading(root: etree._Element) -> str | None:
    for element in root.iter("{*}h1", "{*}h2", "{*}h3"):
        line = " ".join(clean_characters("".join(element.itertext())).split())
        if line:
            return line[:_LONGEST]
    return None


def _page_marks(
    archive: zipfile.ZipFile, package: etree._Element, folder: str
) -> dict[str, dict[str, str]]:
    """Return the page list of a book: per chapter, numbers of printed pages by elements' ids.

    A page that begins with its chapter has the id "".
    """
    marks: dict[str, dict[str, str]] = {}
    for item in package.iter("{*}item"):
        is_list = "nav" in (item.get("properties") or "").split() or (
            item.get("media-type") == "application/x-dtbncx+xml"
        )
        if not is_list:
            continue
        path = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        try:
            root = _parse_part(archive.read(path))
        except (KeyError, ValueError):
            continue
        for label, target in _page_targets(root):
            name, _, anchor = unquote(target).partition("#")
            chapter = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if label:
                marks.setdefault(chapter, {})[anchor] = label
    return marks


def _page_targets(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield labels and targets of a page list, of EPUB 3 (nav) or 2 (NCX)."""
    for nav in root.iter("{*}nav"):
        if "page-list" in (get_attribute(nav, "type") or "").split():
            for link in nav.iter("{*}a"):
                yield "".join(link.itertext()).strip(), link.get("href") or ""
    for entry in root.iter("{*}pageTarget"):
        text = next((t.text or "" for t in entry.iter("{*}text")), "") or entry.get("value") or ""
        content = next(iter(entry.iter("{*}content")), None)
        yield text.strip(), (content.get("src") or "") if content is not None else ""


def _is_locked(archive: zipfile.ZipFile, chapters: list[str]) -> bool:
    """Tell whether chapters, and not only fonts, are encrypted."""
    if _RIGHTS not in archive.namelist():
        return False
    links = _parse_part(archive.read(_RIGHTS)).iter("{*}CipherReference")
    return not {unquote(link.get("URI") or "") for link in links}.isdisjoint(chapters)


def parse_epub(data: bytes, job: ParseJob) -> ParseResult:
    """Read the chapters in the order of the spine; one that fails costs that one only.

    A page is a printed page where the book marks them, and else a chapter, or a section of a long
    one.
    """
    with open_archive(data, job.options.limits.expanded) as archive:
        package, folder = _open_book(archive)
        chapters = list(dict.fromkeys(_walk_spine(package, folder)))
        if _is_locked(archive, chapters):
            return ParseResult("encrypted", len(chapters), remedy=_LOCKED)
        metadata = _read_metadata(package)
        title = metadata.pop("title", None)
        marks = _page_marks(archive, package, folder)
        index, read, warnings, left_out = 0, 0, list[str](), Counter[str]()
        label: str | None = None
        for path in chapters:
            try:
                found, heading = _read_chapter(archive, path, marks)
            except Exception as error:  # a parser of hostile input may raise anything
                warnings.append(f"{path!r} could not be read: {type(error).__name__}: {error}")
                index += 1
                continue
            left_out.update(found.left_out)
            blocks, before = list(found.writer.blocks()), index
            first = marks.get(path, {}).get("")  # a page that begins where its chapter does
            blocks[:0] = [Block("", label=first)] if first else []
            for page in _cut_chapter(blocks, heading, label):
                index, read = before + page.index, read + 1
                job.emit(replace(page, index=index))
            label = next((b.label for b in reversed(blocks) if b.label is not None), label)
            job.report_progress(index, max(index, len(chapters)))
    left_out["chapters outside of the book's order"] += len(_find_loose(package, folder, chapters))
    left_out["pages that are pictures"] += _count_pictures(package)
    warnings += [f"{what}, not read: {count}" for what, count in left_out.items() if count]
    failed = any("could not be read" in line for line in warnings)
    if not read:
        status: Status = "corrupt" if failed else "empty"
        return ParseResult(status, index, title, metadata, tuple(warnings), _EMPTY)
    if failed:
        return ParseResult("partial", index, title, metadata, tuple(warnings), _PARTLY)
    return ParseResult("ok", index, title, metadata, tuple(warnings))


def _cut_chapter(blocks: list[Block], heading: str | None, label: str | None) -> Iterator[Page]:
    """Yield the pages of a chapter: its printed pages, or its sections."""
    if not any(block.label is not None for block in blocks):
        for page in split_sections(blocks):
            yield replace(page, section=page.section or heading, label=label)
        return
    text, index = "", 0
    path: list[tuple[int, str]] = []
    section = heading
    for block in blocks:
        if block.level:
            path = [entry for entry in path if entry[0] < block.level]
            path.append((block.level, block.heading))
        if block.label is not None:
            # A heading before the first mark of a book stands on the page that the mark begins.
            if text.strip() and not (label is None and index == 0 and len(text) < _LEAD):
                index += 1
                yield Page(index, label, text.strip(), section)
                text = ""
            label = block.label or label
        if not text.strip():
            section = format_path(words for _, words in path) or heading
        text += block.text
    if text.strip():
        yield Page(index + 1, label, text.strip(), section)
