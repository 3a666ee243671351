"""Reads Word documents: pages where Word left its page breaks, else sections."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from pace_integrations.documents.formats.archives import find_all, find_child, get_attribute
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.docx_styles import Numbering, Styles
from pace_integrations.documents.formats.docx_walk import DocxWalk
from pace_integrations.documents.formats.ooxml import Package, open_package
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, format_path, split_sections
from pace_integrations.documents.types import Page, ParseResult

_EMPTY = "The document holds no text; check that it was saved completely."


def _load_notes(package: Package) -> dict[tuple[str, str], etree._Element]:
    notes: dict[tuple[str, str], etree._Element] = {}
    for kind in ("footnote", "endnote", "comment"):
        for name in package.find_related(package.main, f"{kind}s"):
            root = package.read(name)
            for note in root if root is not None else ():
                notes[kind, get_attribute(note, "id") or ""] = note
    return notes


def _margin_lines(walk: DocxWalk, body: etree._Element, kind: str) -> list[str]:
    """Return the distinct lines of the headers or the footers that sections name."""
    relations, lines = walk.package.relations(walk.package.main), list[str]()
    for reference in find_all(body, f"{kind}Reference"):
        _, target = relations.get(get_attribute(reference, "id") or "", ("", ""))
        root = walk.package.read(target) if target else None
        if root is not None:
            lines += [clean_characters(text) for text, _, _ in walk.lines(root, target)]
    return list(dict.fromkeys(line for line in lines if line and not line.isdigit()))


def _count_unused(walk: DocxWalk, body: etree._Element) -> None:
    """Count the headers and footers with words that no section of the document shows."""
    package, used = walk.package, set[str]()
    relations = package.relations(package.main)
    for reference in find_all(body, "headerReference", "footerReference"):
        used.add(relations.get(get_attribute(reference, "id") or "", ("", ""))[1])
    for kind, target in relations.values():
        if kind in ("header", "footer") and target not in used:
            root = package.read(target)
            if root is not None and any(_is_words(e.text or "") for e in find_all(root, "t")):
                walk.left_out["headers and footers that no section shows"] += 1


def _is_words(text: str) -> bool:
    return bool(text.strip()) and not text.strip().isdigit()


def parse_docx(data: bytes, job: ParseJob) -> ParseResult:
    """Read a Word document, page by page where Word left its page breaks, else in sections."""
    package = open_package(data, job.options.limits.expanded, "word/document.xml")
    with package.archive:
        root = package.read(package.main)
        body = find_child(root, "body") if root is not None else None
        if body is None:
            raise ValueError(f"{package.main} is missing or damaged")
        rendered = next(find_all(body, "lastRenderedPageBreak"), None) is not None
        notes, styles = _load_notes(package), Styles.load(package)
        walk = DocxWalk(package, styles, Numbering.load(package), notes, rendered)
        _count_unused(walk, body)
        header, footer = (_margin_lines(walk, body, kind) for kind in ("header", "footer"))
        pages = _make_pages(walk, body, header, footer)
        emitted = 0
        for page in pages:
            job.emit(page)
            emitted = page.index
        title, metadata = package.metadata()
        package.left_out.update(walk.left_out)
        read_too = (f"{what}, read: {count}" for what, count in walk.read_too.items())
        warnings = (*package.warnings(), *read_too)
    if not emitted:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    return ParseResult("ok", emitted, title, metadata, warnings)


def _make_pages(
    walk: DocxWalk, body: etree._Element, header: list[str], footer: list[str]
) -> Iterator[Page]:
    """Yield pages where the document has page breaks, and sections where it has none."""
    bodies: list[list[tuple[str, int, str]]] = [[(line, 0, "") for line in header]]
    for text, level, words in walk.lines(body, walk.package.main):
        first, *others = text.split("\f")
        bodies[-1].append((first, level if first.strip() else 0, words))
        bodies += [[(part, level if part.strip() else 0, words)] for part in others]
    bodies[0] += [(line, 0, "") for line in footer]
    bodies[-1] += [(line, 0, "") for line in walk.loose_comments(walk.package.main)]
    if len(bodies) == 1:
        yield from split_sections(_make_blocks(bodies[0]))
        return
    path: list[tuple[int, str]] = []
    for index, lines in enumerate(bodies, 1):
        section: str | None = None
        for text, level, words in lines:
            if level:
                path = [entry for entry in path if entry[0] < level] + [(level, words)]
            if section is None and text.strip():
                section = format_path(name for _, name in path)
        cleaned = clean_characters("\n".join(text for text, _, _ in lines))
        if cleaned:
            yield Page(index, None, cleaned, section)


def _make_blocks(lines: list[tuple[str, int, str]]) -> Iterator[Block]:
    """Yield lines as blocks that begin at headings."""
    start = 0
    heads = [n for n, (_, level, _) in enumerate(lines) if level]
    for end in [*heads, len(lines)]:
        text = clean_characters("\n".join(text for text, _, _ in lines[start:end]))
        if text:
            _, level, words = lines[start]
            yield Block(f"{text}\n", level, words)
        start = end
