"""Reads HTML: what a reader of the page would read, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree
from lxml import html as lxml_html

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.encodings import Decoded, decode_as, decode_text
from pace_integrations.documents.types import Page, ParseResult

_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NOT_SHOWN = """
script style template noscript head svg math iframe object canvas button select nav
"""
_SKIPPED = frozenset(_NOT_SHOWN.split())
_SPACED = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "dl"})
_OTHER_BLOCKS = """
address article aside blockquote body caption dd details div dt fieldset figcaption figure footer
form header hr html li main section summary tbody tfoot thead tr
"""
_BLOCKS = _SPACED | frozenset(_OTHER_BLOCKS.split())
_CELLS = frozenset({"td", "th"})
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_MAIN_SHARE = 0.3
_META = {
    "author": "author",
    "description": "subject",
    "keywords": "keywords",
    "generator": "creator",
    "date": "creationdate",
}
_LONGEST = 200
_EMPTY = "The page holds no text; it may be written by a script: print it to PDF and read that."
_SAVE_AGAIN = "Save the file as UTF-8 and read it again."
_NOT_TEXT = "The file is not HTML, or in an encoding that it does not declare."


@dataclass(slots=True)
class _Writer:
    """Collects words and breaks; runs of spaces and breaks become one."""

    parts: list[str] = field(default_factory=list)
    breaks: int = 2  # nothing before the first word

    def text(self, text: str, *, preformatted: bool) -> None:
        """Adds words; in running text a line end is a space."""
        if not preformatted:
            text = re.sub(r"\s+", " ", text)
            if self.breaks:
                text = text.lstrip()
        if text:
            self.parts.append(text)
            self.breaks = 0

    def newline(self, count: int = 1) -> None:
        """Ends the line; with 2, the paragraph."""
        if self.breaks < count:
            self.parts.append("\n" * (count - self.breaks))
            self.breaks = count


def _is_hidden(element: etree._Element) -> bool:
    tag = element.tag
    if not isinstance(tag, str) or _local(tag) in _SKIPPED:
        return True
    style = element.get("style")
    return "hidden" in element.attrib or bool(style and _HIDDEN.search(style))


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1].lower()


def _events(root: etree._Element) -> Iterator[tuple[str, etree._Element, str]]:
    """Starts and ends of what is shown, and the tails of what is not."""
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        if event in ("comment", "pi"):
            yield "tail", element, ""
            continue
        if event == "start" and _is_hidden(element):
            walk.skip_subtree()
        hidden = _is_hidden(element)
        name = "" if hidden else _local(element.tag)
        if event == "start" and not hidden:
            yield "start", element, name
        elif event == "end":
            yield ("tail" if hidden else "end"), element, name


def element_text(root: etree._Element) -> str:
    """The text of an element as it reads: blocks on lines, table rows as ``a | b``.

    Scripts, styles, navigation and what is hidden are left out.
    """
    writer, depth = _Writer(), 0
    for event, element, name in _events(root):
        if event == "start":
            _open(writer, element, name)
            depth += name == "pre"
            writer.text(element.text or "", preformatted=depth > 0)
            continue
        if event == "end":
            depth -= name == "pre"
            _close(writer, name)
        if element is not root:
            writer.text(element.tail or "", preformatted=depth > 0)
    return clean_characters("".join(writer.parts))


def _open(writer: _Writer, element: etree._Element, name: str) -> None:
    if name in _CELLS:
        if element.getprevious() is not None:
            writer.text(" | ", preformatted=True)
            writer.breaks = 1
    elif name in _BLOCKS:
        writer.newline(2 if name in _SPACED else 1)
        if name == "li":
            writer.text("- ", preformatted=True)
            writer.breaks = 1
    elif name == "br":
        writer.newline()


def _close(writer: _Writer, name: str) -> None:
    if name in _BLOCKS:
        writer.newline(2 if name in _SPACED else 1)


def parse(text: str) -> etree._Element:
    """Parses HTML or XHTML; never loads anything from the network.

    Raises:
        lxml.etree.ParserError: There is no element in it.
    """
    parser = lxml_html.HTMLParser(no_network=True, remove_comments=False, huge_tree=False)
    return lxml_html.document_fromstring(_DECLARATION.sub("", text), parser=parser)


def _body(root: etree._Element) -> etree._Element:
    """The main part where the page marks one that holds a good share of it, or all of it."""
    mains = root.findall(".//main")
    if len(mains) == 1:
        inner, outer = (len("".join(part.itertext())) for part in (mains[0], root))
        if inner >= _MAIN_SHARE * outer:
            return mains[0]
    return root


def title_of(root: etree._Element) -> str | None:
    """The page's title, or its first heading, on one line."""
    for name in ("title", "h1"):
        for element in root.iter(name, f"{{*}}{name}"):
            line = " ".join(clean_characters("".join(element.itertext())).split())
            if line:
                return line[:_LONGEST]
    return None


def _metadata(root: etree._Element) -> dict[str, str]:
    found = {}
    for element in root.iter("meta"):
        key = _META.get((element.get("name") or "").lower())
        value = " ".join(clean_characters(element.get("content") or "").split())
        if key and value:
            found[key] = value[:_LONGEST]
    return found


def _decoded(data: bytes) -> Decoded:
    """Decodes a page by its mark or as UTF-8, else as it declares, else by a guess."""
    decoded = decode_text(data)
    declared = _CHARSET.search(data[:4096]) or _DECLARED.search(data[:200])
    if decoded.problem is None or declared is None:
        return decoded
    try:
        return decode_as(data, declared[1].decode("ascii"))
    except LookupError:
        return decoded


@dataclass(frozen=True, slots=True)
class HtmlFiles:
    """Reads HTML files; each is one page."""

    def read(self, data: bytes, suffix: str) -> ParseResult:
        """Decodes and parses the page and keeps what a reader would read."""
        text, problem = _decoded(data)
        warnings = () if problem is None else (problem,)
        if text is None:
            return ParseResult("corrupt", warnings=warnings, remedy=_NOT_TEXT)
        if not text.strip():
            return ParseResult("empty", page_count=1, warnings=warnings, remedy=_EMPTY)
        root = parse(text)
        body = element_text(_body(root))
        if not body:
            return ParseResult("empty", page_count=1, warnings=warnings, remedy=_EMPTY)
        status, remedy = ("ok", None) if problem is None else ("partial", _SAVE_AGAIN)
        return ParseResult(
            status,  # type: ignore[arg-type]
            (Page(1, None, body),),
            1,
            title_of(root),
            _metadata(root),
            warnings,
            remedy,
        )
