"""Reads HTML: what a reader of the page would read, block by block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lxml import etree
from lxml import html as lxml_html

from pace_integrations.documents.formats.archives import is_cut
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.encodings import Decoded, decode_as, decode_text
from pace_integrations.documents.formats.html_walk import read_element
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import LimitExceededError, ParseResult

_CHARSET = re.compile(rb"<meta[^<>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml[^<>]+encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_META = {
    "author": "author",
    "description": "subject",
    "keywords": "keywords",
    "generator": "creator",
    "date": "creationdate",
}
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style|template)\b.*?</\1\s*>", re.I | re.S)
_MARKS = re.compile(r"<(?!/?p[\s>])/?[A-Za-z!][^<>]*>", re.I)
_LONGEST = 200
_EMPTY = "The page holds no text; it may be written by a script: print it to PDF and read that."
_SAVE_AGAIN = "Save the file as UTF-8 and read it again."
_NOT_TEXT = "The file is not HTML, or in an encoding that it does not declare."


def parse_tree(text: str) -> etree._Element:
    """Parse HTML or XHTML; nothing is loaded from the network.

    A page that is nested deeper than the parser goes loses its structure and keeps its words.

    Raises:
        lxml.etree.ParserError: There is no element in it.
    """
    parser = lxml_html.HTMLParser(no_network=True, remove_comments=False, huge_tree=True)
    root = lxml_html.document_fromstring(_DECLARATION.sub("", text), parser=parser)
    # What comes behind the end of the page, as browsers show it, is a root of its own.
    for other in list(root.itersiblings()):
        if isinstance(other.tag, str):
            other.tag = "div"
            root.append(other)
    if not is_cut(parser):
        return root
    # All but the marks of paragraphs goes, and with it the depth.
    flat = _MARKS.sub(" ", _UNSEEN.sub(" ", text))
    return parse_tree(flat) if flat != text else root


def find_title(root: etree._Element) -> str | None:
    """Return the page's title, or its first heading, on one line."""
    for name in ("title", "h1"):
        for element in root.iter(name, f"{{*}}{name}"):
            line = " ".join(clean_characters("".join(element.itertext())).split())
            if line:
                return line[:_LONGEST]
    return None


def _read_metadata(root: etree._Element) -> dict[str, str]:
    found = {}
    for element in root.iter("meta"):
        key = _META.get((element.get("name") or "").lower())
        value = " ".join(clean_characters(element.get("content") or "").split())
        if key and value:
            found[key] = value[:_LONGEST]
    return found


def decode_html(data: bytes) -> Decoded:
    """Decode a page by its mark or as UTF-8, else as it declares, else by a guess."""
    decoded = decode_text(data)
    declared = _CHARSET.search(data[:4096]) or _DECLARED.search(data[:200])
    if decoded.problem is None or declared is None:
        return decoded
    try:
        return decode_as(data, declared[1].decode("ascii"))
    except LookupError:
        return decoded


def parse_html(data: bytes, job: ParseJob) -> ParseResult:
    """Decode and parse the page and emit what a reader would read, in sections if it is long."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the page is larger than the limit of expanded bytes")
    if job.suffix in (".mht", ".mhtml") or data[:200].lstrip().lower().startswith(b"from:"):
        data = _unpack_archive(data)
    text, problem = decode_html(data)
    warnings: tuple[str, ...] = () if problem is None else (problem,)
    if text is None:
        return ParseResult("corrupt", warnings=warnings, remedy=_NOT_TEXT)
    if not text.strip():
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    root = parse_tree(text)
    found = read_element(root)
    count = emit_sections(found.writer.blocks(), job.emit)
    warnings += tuple(found.warnings())
    if not count:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    title, metadata = find_title(root), _read_metadata(root)
    if problem is None:
        return ParseResult("ok", count, title, metadata, warnings)
    return ParseResult("partial", count, title, metadata, warnings, _SAVE_AGAIN)


def emit_sections(blocks: Iterator[Block], emit: Callable[..., None]) -> int:
    """Emit blocks as sections and return their number."""
    count = 0
    for page in split_sections(blocks):
        emit(page)
        count = page.index
    return count


def _unpack_archive(data: bytes) -> bytes:
    """Return the page of a web archive (MHTML), as its declared encoding has it."""
    import email
    import email.policy

    message = email.message_from_bytes(data, policy=email.policy.default)
    for part in message.walk():
        if part.get_content_type() == "text/html":
            payload = part.get_payload(decode=True)
            return payload if isinstance(payload, bytes) else data
    return data
