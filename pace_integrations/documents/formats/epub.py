"""Reads EPUB books: XHTML chapters in a zip archive, in the order of the book's spine."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5
from urllib.parse import unquote

from lxml import etree

from pace_integrations.documents.formats.archives import open_archive
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.html import element_text, title_of
from pace_integrations.documents.types import Page, ParseResult

_CONTAINER = "META-INF/container.xml"
_CHAPTERS = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_DUBLIN = "{http://purl.org/dc/elements/1.1/}"
_PROPERTIES = {"creator": "author", "language": "language", "publisher": "publisher"}
_LONGEST = 200
_NAMED = re.compile(rb"&([A-Za-z][A-Za-z0-9]*);")
_EMPTY = "The book holds no text; if its pages are pictures, convert it to PDF and run OCR."
_PARTLY = "Look at the chapters named in the warnings."
_LOCKED = "The book is locked to a reading program; get a copy without copy protection."
_RIGHTS = "META-INF/encryption.xml"


def _numbered(match: re.Match[bytes]) -> bytes:
    """A named character of HTML as a numbered one; XML itself knows five names only."""
    name = match[1].decode("ascii")
    if name in ("amp", "lt", "gt", "quot", "apos") or f"{name};" not in html5:
        return match[0]
    return b"".join(b"&#%d;" % ord(char) for char in html5[f"{name};"])


def _xml(data: bytes) -> etree._Element:
    """Parses XML that may be damaged; nothing is expanded and nothing loaded."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False
    )
    root = etree.fromstring(_NAMED.sub(_numbered, data), parser)
    if root is None:
        raise ValueError("a part of the book is no XML")
    return root


def _package(archive: zipfile.ZipFile) -> tuple[etree._Element, str]:
    """The package document, and the folder that its links start from."""
    container = _xml(archive.read(_CONTAINER))
    path = next(container.iter("{*}rootfile")).get("full-path") or ""
    return _xml(archive.read(path)), posixpath.dirname(path)


def _spine(package: etree._Element, folder: str) -> Iterator[str]:
    """Paths of the chapters within the archive, in reading order."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _CHAPTERS:
            continue
        if "nav" not in (item.get("properties") or "").split():
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))


def _metadata(package: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in package.iter(f"{_DUBLIN}*"):
        name = str(element.tag).removeprefix(_DUBLIN)
        value = " ".join(clean_characters("".join(element.itertext())).split())[:_LONGEST]
        key = "title" if name == "title" else _PROPERTIES.get(name)
        if key and value:
            found.setdefault(key, value)
    return found


def _chapter(archive: zipfile.ZipFile, path: str) -> tuple[str, str | None]:
    """The text of a chapter and its heading."""
    root = _xml(archive.read(path))
    bodies = list(root.iter("{*}body"))
    return element_text(bodies[0] if bodies else root), _heading(root) or title_of(root)


def _heading(root: etree._Element) -> str | None:
    for element in root.iter("{*}h1", "{*}h2", "{*}h3"):
        line = " ".join(clean_characters("".join(element.itertext())).split())
        if line:
            return line[:_LONGEST]
    return None


def _is_locked(archive: zipfile.ZipFile, chapters: list[str]) -> bool:
    """Tells whether chapters, and not only fonts, are encrypted."""
    if _RIGHTS not in archive.namelist():
        return False
    links = _xml(archive.read(_RIGHTS)).iter("{*}CipherReference")
    return not {unquote(link.get("URI") or "") for link in links}.isdisjoint(chapters)


@dataclass(frozen=True, slots=True)
class EpubFiles:
    """Reads EPUB books; every chapter of the spine is a page.

    Attributes:
        expanded_limit: Most bytes of the archive's members, uncompressed.
    """

    expanded_limit: int = 512 * 2**20

    def read(self, data: bytes, suffix: str) -> ParseResult:
        """Reads the chapters in the order of the spine; one that fails costs that one only."""
        with open_archive(data, self.expanded_limit) as archive:
            package, folder = _package(archive)
            chapters = list(_spine(package, folder))
            if _is_locked(archive, chapters):
                return ParseResult("encrypted", page_count=len(chapters), remedy=_LOCKED)
            return _reading(archive, chapters, _metadata(package))


def _reading(
    archive: zipfile.ZipFile, chapters: list[str], metadata: dict[str, str]
) -> ParseResult:
    pages, warnings = list[Page](), list[str]()
    for index, path in enumerate(chapters, 1):
        try:
            text, section = _chapter(archive, path)
        except Exception as error:  # a parser of hostile input may raise anything
            warnings.append(f"{path!r} could not be read: {type(error).__name__}: {error}")
            continue
        if text:
            pages.append(Page(index, None, text, section))
    title = metadata.pop("title", None)
    kept = (tuple(pages), len(chapters), title, metadata, tuple(warnings))
    if not pages:
        return ParseResult("corrupt" if warnings else "empty", *kept, remedy=_EMPTY)
    return ParseResult("partial", *kept, remedy=_PARTLY) if warnings else ParseResult("ok", *kept)
