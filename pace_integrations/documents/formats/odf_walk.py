"""One walk over the XML of OpenDocument files: paragraphs, lists, tables, what hangs on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import (
    find_all,
    find_child,
    get_attribute,
    local_name,
)
from pace_integrations.documents.formats.clean import (
    clean_characters,
    lower_text,
    raise_text,
    strike_text,
)
from pace_integrations.documents.formats.markup_writer import format_row
from pace_integrations.documents.formats.mathml import math_source
from pace_integrations.documents.formats.odf_styles import OUTLINE, OdfStyles, form_values
from pace_integrations.documents.formats.sectioning import Block

_LONGEST = 200
_MAX_REPEAT = 1_000
_SKIPPED = frozenset(
    {"tracked-changes", "deletion", "sequence-decls", "variable-decls", "script", "hidden-text"}
)


_OBJECTS = frozenset({"object", "object-ole", "plugin", "applet", "floating-frame"})
SHAPES = frozenset({"frame", "custom-shape", "rect", "text-box", "g", "object", "object-ole"})
"""Elements that lie on a page and hold text, pictures or other documents."""


@dataclass(slots=True)
class OdfWalk:
    """One walk over a document.

    Attributes:
        styles: The styles of the document.
        read_object: Returns a document that it embeds by the link to it, or None.
        left_out: What was met and not read, with its numbers.
        read_too: What is not shown and was read.
        after: Lines that follow the paragraph that is being read.
    """

    styles: OdfStyles
    read_object: Callable[[str], etree._Element | None]
    left_out: Counter[str] = field(default_factory=Counter)
    read_too: Counter[str] = field(default_factory=Counter)
    after: list[str] = field(default_factory=list)
    _notes: int = 0

    def blocks(self, root: etree._Element) -> Iterator[Block]:
        """Yield the blocks below an element: paragraphs, items, rows."""
        for child in root:
            name = local_name(child)
            if self.styles.is_hidden(child):
                self.left_out["hidden text"] += 1
            elif name in ("p", "h"):
                yield from self._paragraph(child, "")
            elif name == "list":
                yield from self._items(child, get_attribute(child, "style-name") or "", 1)
            elif name == "table":
                for cells in self.rows(child):
                    yield from (Block(f"{line}\n") for line in format_row(cells))
            elif name == "annotation":
                self._read_comment(child)
                yield from (Block(f"{line}\n") for line in self.take_after())
            elif name == "forms":
                yield from (Block(f"{line}\n") for line in form_values(child))
            elif name in _SKIPPED:
                self.left_out["deleted text of tracked changes"] += name == "tracked-changes"
            else:
                yield from self.blocks(child)

    def _paragraph(self, element: etree._Element, mark: str) -> Iterator[Block]:
        level = get_attribute(element, "outline-level") or "1"
        depth = int(level) if local_name(element) == "h" and level.isdigit() else 0
        if depth and not mark and get_attribute(element, "is-list-header") != "true":
            mark = self.styles.next_mark(OUTLINE, depth, get_attribute(element, "start-value"))
        text = clean_characters(self._inline(element))
        after = self.take_after()
        if text:
            words = " ".join(f"{mark}{text}".split())[:_LONGEST] if depth else ""
            yield Block(f"{mark}{text}\n", depth, words)
        yield from (Block(f"{line}\n") for line in after if line)

    def _items(self, element: etree._Element, style: str, depth: int) -> Iterator[Block]:
        goes_on = get_attribute(element, "continue-numbering") == "true"
        if not goes_on and get_attribute(element, "continue-list") is None:
            self.styles.restart(style, depth)
        for item in element:
            name = local_name(item)
            if name not in ("list-item", "list-header"):
                continue
            start, mark = get_attribute(item, "start-value"), ""
            for child in item:
                kind = local_name(child)
                if kind == "list":
                    inner = get_attribute(child, "style-name") or style
                    yield from self._items(child, inner, depth + 1)
                elif kind in ("p", "h") and self.styles.is_hidden(child):
                    self.left_out["hidden text"] += 1
                elif kind in ("p", "h"):
                    if name == "list-item" and child is next(_paragraphs(item)):
                        mark = self.styles.next_mark(style, depth, start) or "- "
                    yield from self._paragraph(child, mark)
                    mark = ""

    def rows(self, table: etree._Element) -> Iterator[list[str]]:
        """Yield the cells of a table's rows; repeated blank ones come once."""
        for row in table:
            name = local_name(row)
            unseen = get_attribute(row, "visibility") in ("collapse", "filter")
            self.read_too["hidden rows or columns"] += unseen
            if name in ("table-header-rows", "table-rows", "table-row-group"):
                yield from self.rows(row)
            elif name == "table-row":
                cells: list[str] = []
                for cell in row:
                    if local_name(cell) not in ("table-cell", "covered-table-cell"):
                        continue
                    lines = [b.text.strip("\n") for b in self.blocks(cell)]
                    if not any(local_name(child) in ("p", "list") for child in cell):
                        lines.insert(0, _stored_value(cell))
                    text = "\n".join(filter(None, lines))
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
        if self.styles.is_hidden(child) or name == "hidden-text":
            self.left_out["hidden text"] += 1
            return ""
        if name in ("s", "tab"):
            return " "
        if name == "line-break":
            return "\n"
        if name == "span":
            inner, style = self._inline(child), get_attribute(child, "style-name") or ""
            inner = strike_text(inner) if style in self.styles.struck else inner
            position = self.styles.raised.get(style)
            if position and inner.strip():
                mark = raise_text if position == "super" else lower_text
                return mark(before, inner.strip())
            return inner
        if name == "note":
            return self._read_note(child, before)
        if name == "annotation":
            self._read_comment(child)
            return ""
        if name == "ruby":
            base, over = (find_child(child, f"ruby-{part}") for part in ("base", "text"))
            text = self._inline(base) if base is not None else ""
            return text + (f"({self._inline(over)})" if over is not None and len(text) else "")
        if name == "frame":
            equation = self._find_equation(child)
            if equation:
                return f" {equation} "
        if name in SHAPES:
            self.read_frame(child)
            return ""
        return self._inline(child) if name not in _SKIPPED else ""

    def _read_note(self, note: etree._Element, before: str) -> str:
        """Keep a note for the end of its paragraph and return its mark."""
        self._notes += 1
        body, citation = find_child(note, "note-body"), find_child(note, "note-citation")
        kind = (get_attribute(note, "note-class") or "footnote").capitalize()
        mark = "".join(citation.itertext()).strip() if citation is not None else ""
        mark = mark or str(self._notes)
        pending = self.take_after()
        lines = [block.text for block in self.blocks(body)] if body is not None else []
        self.after = [*pending, f"[{kind} {mark}: {' '.join(' '.join(lines).split())}]"]
        return raise_text(before, mark)

    def _read_comment(self, annotation: etree._Element) -> None:
        author = "".join(e.text or "" for e in find_all(annotation, "creator"))
        texts = clean_characters(" ".join(self._inline(p) for p in find_all(annotation, "p")))
        by = f" by {author}" if author else ""
        self.after.append(f"[Comment{by}: {' '.join(texts.split())}]")

    def read_frame(self, frame: etree._Element) -> None:
        """Keep what a frame shows for the end of its paragraph."""
        pending = self.take_after()
        lines = [block.text.strip("\n") for block in self.blocks(frame)]
        lines += self.after
        for part in self._embedded(frame):
            lines += self._chart_lines(part)
        texts = ["".join(e.itertext()).strip() for e in frame if local_name(e) in ("title", "desc")]
        if any(texts):
            lines.append(f"[Image: {' '.join(filter(None, texts))}]")
        elif not lines:
            kinds = {local_name(e) for e in frame.iter()}
            if kinds & _OBJECTS:
                self.left_out["embedded objects"] += 1
            elif "image" in kinds:  # and no line or circle
                self.left_out["pictures without a description"] += 1
        self.after = [*pending, *lines]

    def take_after(self) -> list[str]:
        """Return the lines that are kept for the end of a paragraph, and forget them."""
        lines, self.after = self.after, []
        return lines

    def shape_blocks(self, shapes: etree._Element) -> Iterator[Block]:
        """Yield what the shapes below an element show."""
        for shape in shapes:
            self.read_frame(shape)
            yield from (Block(f"{line}\n") for line in self.take_after())

    def _embedded(self, frame: etree._Element) -> Iterator[etree._Element]:
        """Yield the documents that a frame embeds: equations, charts."""
        for entry in find_all(frame, "object"):
            part = self.read_object(get_attribute(entry, "href") or "")
            yield part if part is not None else entry

    def _find_equation(self, frame: etree._Element) -> str:
        found = (next(find_all(part, "math"), None) for part in self._embedded(frame))
        return " ".join(math_source(equation) for equation in found if equation is not None)

    def _chart_lines(self, root: etree._Element) -> Iterator[str]:
        for chart in find_all(root, "chart"):
            words = ("".join(t.itertext()).strip() for t in find_all(chart, "title", "subtitle"))
            yield f"[Chart: {'; '.join(words)}]"
            for table in find_all(chart, "table"):
                for cells in self.rows(table):
                    yield from format_row(cells)


def _paragraphs(item: etree._Element) -> Iterator[etree._Element]:
    return (child for child in item if local_name(child) in ("p", "h"))


def _stored_value(cell: etree._Element) -> str:
    """Return the value of a cell that was saved without the text that it shows."""
    names = ("string-value", "date-value", "time-value", "boolean-value", "value")
    return next((value for name in names if (value := get_attribute(cell, name))), "")
