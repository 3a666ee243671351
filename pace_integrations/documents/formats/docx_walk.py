"""One walk over the XML of Word documents: paragraphs, tables, and what hangs on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import get_attribute, local_name
from pace_integrations.documents.formats.clean import clean_characters, lower_text, raise_text
from pace_integrations.documents.formats.docx_styles import Numbering, Styles
from pace_integrations.documents.formats.markup_writer import format_row
from pace_integrations.documents.formats.ooxml import (
    Package,
    chart_lines,
    drawing_paragraphs,
    find_all,
    find_child,
    math_text,
)

_SYMBOLS = {"F0FE": "☒", "F0FD": "☒", "F053": "☒", "F0A8": "☐", "F06F": "☐", "F0A3": "☐"}
_SYMBOLS |= {"F0FC": "✓", "F0B7": "•", "F0E0": "→", "F0E8": "→", "F0D8": "▸", "F04A": "☺"}
_DELETED = frozenset({"del", "moveFrom", "delText", "instrText", "delInstrText"})
_PLAIN = frozenset(
    {"rPr", "pPr", "tblPr", "tblGrid", "trPr", "tcPr", "sdtPr", "sectPr", "proofErr"}
)
_CHOICES = ("Choice", "Fallback")


@dataclass(slots=True)
class _Paragraph:
    """A paragraph that is being read.

    Attributes:
        text: Its words so far; a form feed stands for a page break.
        after: Lines that follow it: text boxes, notes, comments.
    """

    text: str = ""
    after: list[str] = field(default_factory=list)


@dataclass(slots=True)
class DocxWalk:
    """One walk over the parts of a document."""

    package: Package
    styles: Styles
    numbering: Numbering
    notes: dict[tuple[str, str], etree._Element]
    rendered: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
    _note_numbers: Counter[str] = field(default_factory=Counter)

    # -- blocks ---------------------------------------------------------------------------------

    def lines(self, root: etree._Element, part: str) -> Iterator[tuple[str, int, str]]:
        """Yield every paragraph and row below an element: text, level of heading, its words."""
        for child in root:
            name = local_name(child)
            if name == "p":
                yield from self._paragraph_lines(child, part)
            elif name == "tbl":
                yield from ((row, 0, "") for row in self._rows(child, part))
            elif name == "AlternateContent":
                chosen = _choose_alternative(child)
                if chosen is not None:
                    yield from self.lines(chosen, part)
            elif name in _DELETED:
                self.left_out["deleted text of tracked changes"] += 1
            elif name == "altChunk":
                self.left_out["embedded documents"] += 1
            elif name not in _PLAIN:  # content controls, custom XML, insertions: what is in them
                yield from self.lines(child, part)

    def _paragraph_lines(
        self, element: etree._Element, part: str
    ) -> Iterator[tuple[str, int, str]]:
        level, mark = self._describe(element)
        paragraph = _Paragraph()
        self._read_runs(element, part, paragraph)
        words = " ".join(clean_characters(paragraph.text.replace("\f", " ")).split())
        if words and mark:
            paragraph.text = _insert_mark(paragraph.text, mark)
            words = f"{mark}{words}" if level else words
        if words or "\f" in paragraph.text:
            yield paragraph.text, level if words else 0, words
        else:
            yield "", 0, ""
        yield from ((line, 0, "") for line in paragraph.after)

    def _describe(self, element: etree._Element) -> tuple[int, str]:
        """Return the level of a heading, or 0, and the mark of a list's item."""
        properties = find_child(element, "pPr")
        style = ""
        if properties is not None:
            entry = find_child(properties, "pStyle")
            style = (get_attribute(entry, "val") or "") if entry is not None else ""
        level = self.styles.heading_level(style, properties)
        number, depth = self.styles.numbering(style, properties)
        return level, self.numbering.next_mark(number, depth) if number else ""

    def _rows(self, table: etree._Element, part: str) -> Iterator[str]:
        for row in _children(table, "tr"):
            properties = find_child(row, "trPr")
            if properties is not None and find_child(properties, "del") is not None:
                self.left_out["deleted text of tracked changes"] += 1
                continue
            cells = [self._cell(cell, part) for cell in _children(row, "tc")]
            yield from format_row(cells)

    def _cell(self, cell: etree._Element, part: str) -> str:
        merged = find_child(cell, "tcPr", "vMerge")
        if merged is not None and get_attribute(merged, "val") in (None, "continue"):
            return ""
        lines = (clean_characters(text.replace("\f", " ")) for text, _, _ in self.lines(cell, part))
        return "\n".join(line for line in lines if line)

    # -- runs -----------------------------------------------------------------------------------

    def _read_runs(self, element: etree._Element, part: str, into: _Paragraph) -> None:
        for child in element:
            name = local_name(child)
            if name == "r":
                self._read_run(child, part, into)
            elif name in ("oMath", "oMathPara"):
                into.text += math_text(child)
            elif name == "AlternateContent":
                chosen = _choose_alternative(child)
                if chosen is not None:
                    self._read_runs(chosen, part, into)
            elif name in _DELETED:
                self.left_out["deleted text of tracked changes"] += 1
            elif name not in _PLAIN:
                self._read_runs(child, part, into)

    def _read_run(self, run: etree._Element, part: str, into: _Paragraph) -> None:
        properties = find_child(run, "rPr")
        hidden, position = _run_look(properties)
        if hidden or self.styles.is_hidden(properties):
            self.left_out["hidden text"] += any(local_name(c) == "t" for c in run)
            return
        for child in run:
            self._read_piece(child, part, into, position)

    def _read_piece(
        self, child: etree._Element, part: str, into: _Paragraph, position: str
    ) -> None:
        name = local_name(child)
        if name == "t":
            text = child.text or ""
            if position and text.strip():
                mark = raise_text if position == "superscript" else lower_text
                text = mark(into.text, text.strip())
            into.text += text
        elif name in ("tab", "ptab"):
            into.text += " "
        elif name == "cr":
            into.text += "\n"
        elif name == "noBreakHyphen":
            into.text += "-"
        elif name == "sym":
            into.text += _SYMBOLS.get((get_attribute(child, "char") or "").upper(), "")
        elif name == "lastRenderedPageBreak":
            into.text += "\f" if self.rendered else ""
        elif name == "br":
            page = get_attribute(child, "type") == "page"
            into.text += "\n" if not page else "" if self.rendered else "\f"
        elif name == "fldChar":
            into.text += _form_value(child)
        elif name in ("footnoteReference", "endnoteReference", "commentReference"):
            self._read_note(child, name.removesuffix("Reference"), part, into)
        elif name == "AlternateContent":
            chosen = _choose_alternative(child)
            for inner in chosen if chosen is not None else ():
                self._read_piece(inner, part, into, position)
        elif name in ("drawing", "pict", "object"):
            self._read_drawing(child, part, into)
        elif name == "ruby":
            base, over = find_child(child, "rubyBase"), find_child(child, "rt")
            for inner, form in ((base, "{}"), (over, "({})")):
                piece = _Paragraph()
                if inner is not None:
                    self._read_runs(inner, part, piece)
                into.text += form.format(piece.text) if piece.text else ""

    def _read_note(self, reference: etree._Element, kind: str, part: str, into: _Paragraph) -> None:
        key = get_attribute(reference, "id") or ""
        note = self.notes.get((kind, key))
        if note is None:
            return
        text = " ".join(
            clean_characters(line).replace("\n", " ") for line, _, _ in self.lines(note, part)
        ).strip()
        if kind == "comment":
            author = get_attribute(note, "author") or ""
            into.after.append(f"[Comment by {author}: {text}]" if author else f"[Comment: {text}]")
            return
        self._note_numbers[kind] += 1
        number = str(self._note_numbers[kind])
        into.text += raise_text(into.text, number)
        into.after.append(f"[{kind.capitalize()} {number}: {text}]")

    def _read_drawing(self, drawing: etree._Element, part: str, into: _Paragraph) -> None:
        boxes = list(find_all(drawing, "txbxContent"))
        relations = self.package.relations(part)
        for box in boxes:
            into.after += [line for line, _, _ in self.lines(box, part) if line.strip()]
        described = False
        for element in find_all(drawing, "docPr", "shape", "cNvPr"):
            text = get_attribute(element, "descr") or get_attribute(element, "alt") or ""
            if text.strip() and not described:
                described = True
                into.after.append(f"[Image: {' '.join(text.split())}]")
        for element in find_all(drawing, "chart", "relIds", "OLEObject"):
            name, key = local_name(element), get_attribute(element, "id")
            if name == "OLEObject":
                self.left_out["embedded objects"] += 1
                continue
            target = relations.get(
                (get_attribute(element, "dm") if name == "relIds" else key) or ""
            )
            root = self.package.read(target[1]) if target is not None else None
            if root is not None:
                described = True
                into.after += chart_lines(root) if name == "chart" else drawing_paragraphs(root)
        pictures = any(True for _ in find_all(drawing, "blip", "imagedata"))
        if pictures and not described and not boxes:
            self.left_out["pictures without a description"] += 1


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield rows or cells, also those inside content controls and tracked insertions."""
    for child in element:
        found = local_name(child)
        if found == name:
            yield child
        elif found not in ("p", "tbl", *_PLAIN, *_DELETED):
            yield from _children(child, name)


def _choose_alternative(element: etree._Element) -> etree._Element | None:
    """Return the one of alternative contents that is read: the first that holds something."""
    return next((c for c in element if local_name(c) in _CHOICES and len(c)), None)


def _run_look(properties: etree._Element | None) -> tuple[bool, str]:
    """Return whether a run is hidden, and ``superscript``, ``subscript`` or ""."""
    hidden, position = False, ""
    for entry in properties if properties is not None else ():
        if local_name(entry) == "vanish":
            hidden = get_attribute(entry, "val") not in ("0", "false", "off")
        elif local_name(entry) == "vertAlign":
            position = get_attribute(entry, "val") or ""
    return hidden, position if position in ("superscript", "subscript") else ""


def _form_value(field_mark: etree._Element) -> str:
    """Return the state of a check box or the choice of a list among a form's old fields."""
    box = next(find_all(field_mark, "checkBox"), None)
    if box is not None:
        state = find_child(box, "checked")
        state = state if state is not None else find_child(box, "default")
        checked = state is not None and get_attribute(state, "val") not in ("0", "false")
        return "[x] " if checked else "[ ] "
    choices = next(find_all(field_mark, "ddList"), None)
    if choices is None:
        return ""
    entries = [get_attribute(e, "val") or "" for e in find_all(choices, "listEntry")]
    result = next((get_attribute(e, "val") for e in find_all(choices, "result")), "0") or "0"
    return entries[int(result)] if result.isdigit() and int(result) < len(entries) else ""


def _insert_mark(text: str, mark: str) -> str:
    """Put a list's mark before the first word, after the page breaks before it."""
    blank = re.match(r"\s*", text)
    place = blank.end() if blank is not None else 0
    return f"{text[:place]}{mark}{text[place:]}"
