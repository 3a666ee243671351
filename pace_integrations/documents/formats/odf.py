"""Reads OpenDocument files: texts, sheets and slides, by one walk over their XML."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import (
    get_attribute,
    local_name,
    open_archive,
    parse_xml,
    read_part,
)
from pace_integrations.documents.formats.clean import (
    clean_characters,
    format_number,
    lower_text,
    raise_text,
)
from pace_integrations.documents.formats.csv_table import slice_rows
from pace_integrations.documents.formats.markup_writer import format_row
from pace_integrations.documents.formats.ooxml import find_all, find_child
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import Page, ParseResult

_LONGEST = 200
_MAX_REPEAT = 1_000
_LOCKED = "Give its password to its own program, and save a copy without one."
_EMPTY = "The document holds no text; check that it was saved completely."
_SKIPPED = frozenset({"tracked-changes", "deletion", "forms", "sequence-decls", "variable-decls"})
_META = {"creator": "author", "initial-creator": "author", "subject": "subject"}


@dataclass(slots=True)
class _Walk:
    """One walk over a document."""

    lists: dict[tuple[str, int], tuple[str, str, str, int]]
    raised: dict[str, str]
    left_out: Counter[str] = field(default_factory=Counter)
    _after: list[str] = field(default_factory=list)
    _notes: int = 0

    def blocks(self, root: etree._Element) -> Iterator[Block]:
        """Yield the blocks below an element: paragraphs, items, rows."""
        for child in root:
            name = local_name(child)
            if name in ("p", "h"):
                level = int(get_attribute(child, "outline-level") or 1) if name == "h" else 0
                yield from self._paragraph(child, level, "")
            elif name == "list":
                yield from self._items(child, get_attribute(child, "style-name") or "", 1)
            elif name == "table":
                for cells in self.rows(child):
                    yield from (Block(f"{line}\n") for line in format_row(cells))
            elif name in _SKIPPED:
                self.left_out["deleted text of tracked changes"] += name == "tracked-changes"
            else:
                yield from self.blocks(child)

    def _paragraph(self, element: etree._Element, level: int, mark: str) -> Iterator[Block]:
        text = clean_characters(self._inline(element))
        after, self._after = self._after, []
        if text:
            words = " ".join(text.split())[:_LONGEST] if level else ""
            yield Block(f"{mark}{text}\n", level, words)
        yield from (Block(f"{line}\n") for line in after if line)

    def _items(self, element: etree._Element, style: str, depth: int) -> Iterator[Block]:
        kind, prefix, suffix, number = self.lists.get((style, depth), ("", "", "", 1))
        for item in element:
            if local_name(item) not in ("list-item", "list-header"):
                continue
            mark = f"{prefix}{format_number(number, kind)}{suffix} " if kind else "- "
            number += 1
            for child in item:
                name = local_name(child)
                if name == "list":
                    inner = get_attribute(child, "style-name") or style
                    yield from self._items(child, inner, depth + 1)
                elif name in ("p", "h"):
                    yield from self._paragraph(child, 0, mark)
                    mark = ""

    def rows(self, table: etree._Element) -> Iterator[list[str]]:
        """Yield the cells of a table's rows; repeated blank ones come once."""
        for row in table:
            name = local_name(row)
            if name in ("table-header-rows", "table-rows", "table-row-group"):
                yield from self.rows(row)
            elif name == "table-row":
                cells: list[str] = []
                for cell in row:
                    if local_name(cell) not in ("table-cell", "covered-table-cell"):
                        continue
                    lines = [b.text.strip("\n") for b in self.blocks(cell)]
                    text = "\n".join(lines)
                    repeat = get_attribute(cell, "number-columns-repeated") or "1"
                    cells += [text] * (min(int(repeat), _MAX_REPEAT) if repeat.isdigit() else 1)
                while cells and not cells[-1]:
                    cells.pop()
                repeat = get_attribute(row, "number-rows-repeated") or "1"
                times = min(int(repeat), _MAX_REPEAT) if repeat.isdigit() and cells else 1
                for _ in range(times):
                    yield list(cells)

    def _inline(self, element: etree._Element) -> str:
        text = element.text or ""
        for child in element:
            text += self._piece(child, text) + (child.tail or "")
        return text

    def _piece(self, child: etree._Element, before: str) -> str:
        name = local_name(child)
        if name == "s":
            return " "
        if name == "tab":
            return " "
        if name == "line-break":
            return "\n"
        if name == "span":
            inner = self._inline(child)
            position = self.raised.get(get_attribute(child, "style-name") or "")
            if position and inner.strip():
                mark = raise_text if position == "super" else lower_text
                return mark(before, inner.strip())
            return inner
        if name == "note":
            self._notes += 1
            body = find_child(child, "note-body")
            kind = (get_attribute(child, "note-class") or "footnote").capitalize()
            text = self._flat(body) if body is not None else ""
            self._after.append(f"[{kind} {self._notes}: {text}]")
            return raise_text(before, str(self._notes))
        if name == "annotation":
            author = "".join(e.text or "" for e in find_all(child, "creator"))
            texts = " ".join(self._inline(p) for p in find_all(child, "p"))
            by = f" by {author}" if author else ""
            self._after.append(f"[Comment{by}: {' '.join(texts.split())}]")
            return ""
        if name in ("frame", "custom-shape", "rect", "text-box", "g", "object", "object-ole"):
            self._read_frame(child)
            return ""
        return self._inline(child) if name not in _SKIPPED else ""

    def _flat(self, element: etree._Element) -> str:
        return " ".join(" ".join(block.text for block in self.blocks(element)).split())

    def _read_frame(self, frame: etree._Element) -> None:
        lines = [block.text.strip("\n") for block in self.blocks(frame)]
        texts = ["".join(e.itertext()).strip() for e in frame if local_name(e) in ("title", "desc")]
        self._after += lines
        if any(texts):
            self._after.append(f"[Image: {' '.join(filter(None, texts))}]")
        elif not lines:
            kinds = {local_name(e) for e in frame.iter()}
            picture = "image" in kinds and "object" not in kinds
            self.left_out["pictures without a description" if picture else "embedded objects"] += 1


def _load_styles(roots: list[etree._Element]) -> _Walk:
    lists: dict[tuple[str, int], tuple[str, str, str, int]] = {}
    raised: dict[str, str] = {}
    for root in roots:
        for style in find_all(root, "list-style"):
            for entry in style:
                level = get_attribute(entry, "level") or "1"
                kind = get_attribute(entry, "num-format") or ""
                start = get_attribute(entry, "start-value") or "1"
                numbered = local_name(entry) == "list-level-style-number"
                lists[get_attribute(style, "name") or "", int(level)] = (
                    kind if numbered else "",
                    get_attribute(entry, "num-prefix") or "",
                    get_attribute(entry, "num-suffix") or ".",
                    int(start) if start.isdigit() else 1,
                )
        for style in find_all(root, "style"):
            for entry in style:
                position = (get_attribute(entry, "text-position") or "").split(" ")[0]
                if position in ("super", "sub"):
                    raised[get_attribute(style, "name") or ""] = position
    return _Walk(lists, raised)


def _margin_lines(walk: _Walk, styles: etree._Element | None, kind: str) -> list[str]:
    found: list[str] = []
    for part in find_all(styles, kind, f"{kind}-first") if styles is not None else ():
        found += [block.text.strip() for block in walk.blocks(part)]
    return list(dict.fromkeys(line for line in found if line and not line.isdigit()))


def _text_pages(walk: _Walk, body: etree._Element, styles: etree._Element | None) -> Iterator[Page]:
    header, footer = (_margin_lines(walk, styles, kind) for kind in ("header", "footer"))
    blocks = [Block(f"{line}\n") for line in header]
    blocks += walk.blocks(body)
    blocks += [Block(f"{line}\n") for line in footer]
    yield from split_sections(blocks)


def _sheet_pages(walk: _Walk, body: etree._Element) -> Iterator[Page]:
    index = 1
    for table in (child for child in body if local_name(child) == "table"):
        for page in slice_rows(walk.rows(table), get_attribute(table, "name") or "", index):
            yield page
            index = page.index + 1


def _slide_pages(walk: _Walk, body: etree._Element) -> Iterator[Page]:
    slides = [child for child in body if local_name(child) == "page"]
    for index, slide in enumerate(slides, 1):
        lines: list[str] = []
        for part in slide:
            if local_name(part) == "notes":
                notes = (block.text.strip() for block in walk.blocks(part))
                lines += [f"[Speaker note: {note}]" for note in notes if note]
            else:
                walk._read_frame(part)
                lines += walk._after
                walk._after = []
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


def parse_odf(data: bytes, job: ParseJob) -> ParseResult:
    """Read a text in sections, a spreadsheet in slices of rows, a presentation slide by slide."""
    if data.startswith(b"PK"):
        with open_archive(data, job.options.limits.expanded) as archive:
            if _is_locked(archive):
                return ParseResult("encrypted", remedy=_LOCKED)
            content = parse_xml(archive.read("content.xml"))
            styles, meta = (read_part(archive, f"{name}.xml") for name in ("styles", "meta"))
    else:  # all in one file
        content = parse_xml(data)
        styles = meta = content
    body = next(find_all(content, "body"), None)
    if body is None or not len(body):
        raise ValueError("the file has no body")
    walk = _load_styles([root for root in (styles, content) if root is not None])
    makers = {"spreadsheet": _sheet_pages, "presentation": _slide_pages, "drawing": _slide_pages}
    inner, kind = body[0], local_name(body[0])
    count = 0
    pages = makers[kind](walk, inner) if kind in makers else _text_pages(walk, inner, styles)
    for page in pages:
        job.emit(page)
        count = page.index
    title, metadata = _read_metadata(meta)
    warnings = tuple(
        f"{what}, not read: {number}" for what, number in walk.left_out.items() if number
    )
    if not count:
        return ParseResult("empty", 1, title, metadata, warnings, _EMPTY)
    return ParseResult("ok", count, title, metadata, warnings)
