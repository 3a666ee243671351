"""One walk over the XML of Word documents: paragraphs, tables, and what hangs on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import (
    find_all,
    find_child,
    get_attribute,
    local_name,
)
from pace_integrations.documents.formats.charts import chart_lines
from pace_integrations.documents.formats.clean import (
    clean_characters,
    lower_text,
    raise_text,
    strike_text,
)
from pace_integrations.documents.formats.docx_styles import Look, Numbering, Styles
from pace_integrations.documents.formats.docx_xml import (
    DELETED,
    OFF,
    PLAIN,
    choose_alternative,
    find_entries,
    insert_mark,
    is_shaded,
    is_within,
    read_count,
    read_form_value,
)
from pace_integrations.documents.formats.markup_writer import format_row
from pace_integrations.documents.formats.ooxml import Package, drawing_paragraphs, math_text
from pace_integrations.documents.formats.symbol_fonts import decode_symbol, replace_symbols


@dataclass(slots=True)
class _Paragraph:
    """A paragraph that is being read.

    Attributes:
        style: Its style, or "".
        text: Its words so far; a form feed stands for a page break.
        after: Lines that follow it: text boxes, notes, comments.
    """

    style: str = ""
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
    read_too: Counter[str] = field(default_factory=Counter)
    _comments_read: set[str] = field(default_factory=set)
    _joined: _Paragraph | None = None
    _note_numbers: Counter[str] = field(default_factory=Counter)

    # -- blocks ---------------------------------------------------------------------------------

    def lines(self, root: etree._Element, part: str) -> Iterator[tuple[str, int, str]]:
        """Yield every paragraph and row below an element: text, level of heading, its words."""
        for child in root:
            name = local_name(child)
            if name == "p":
                yield from self._paragraph_lines(child, part)
            elif name == "tbl":
                yield from self._end_joined()
                yield from ((row, 0, "") for row in self._rows(child, part))
            elif name == "AlternateContent":
                chosen = choose_alternative(child)
                if chosen is not None:
                    yield from self.lines(chosen, part)
            elif name in DELETED:
                self.left_out["deleted text of tracked changes"] += 1
            elif name == "altChunk":
                self.left_out["embedded documents"] += 1
            elif name not in PLAIN:  # content controls, custom XML, insertions: what is in them
                yield from self.lines(child, part)
        yield from self._end_joined()

    def _end_joined(self) -> Iterator[tuple[str, int, str]]:
        """Yield a paragraph whose end was deleted and that none follows."""
        paragraph, self._joined = self._joined, None
        if paragraph is not None:
            yield paragraph.text, 0, ""
            yield from ((line, 0, "") for line in paragraph.after)

    def _paragraph_lines(
        self, element: etree._Element, part: str
    ) -> Iterator[tuple[str, int, str]]:
        level, mark, style = self._describe(element)
        paragraph = self._joined or _Paragraph(style)
        paragraph.style, self._joined = style, None
        self._read_runs(element, part, paragraph)
        if find_child(element, "pPr", "rPr", "del") is not None:  # the next one goes on with it
            self._joined = paragraph
            return
        words = " ".join(clean_characters(paragraph.text.replace("\f", " ")).split())
        if words and mark:
            paragraph.text = insert_mark(paragraph.text, mark)
            words = f"{mark}{words}" if level else words
        if words or "\f" in paragraph.text:
            yield paragraph.text, level if words else 0, words
        else:
            yield "", 0, ""
        yield from ((line, 0, "") for line in paragraph.after)

    def _describe(self, element: etree._Element) -> tuple[int, str, str]:
        """Return the level of a heading, or 0, the mark of a list's item, and the style."""
        properties = find_child(element, "pPr")
        style = ""
        if properties is not None:
            entry = find_child(properties, "pStyle")
            style = (get_attribute(entry, "val") or "") if entry is not None else ""
        level = self.styles.heading_level(style, properties)
        number, depth = self.styles.numbering(style, properties)
        return level, self.numbering.next_mark(number, depth) if number else "", style

    def _rows(self, table: etree._Element, part: str) -> Iterator[str]:
        for row in find_entries(table, "tr"):
            properties = find_child(row, "trPr")
            if properties is not None and find_child(properties, "del") is not None:
                self.left_out["deleted text of tracked changes"] += 1
                continue
            before = find_child(properties, "gridBefore") if properties is not None else None
            cells = [""] * read_count(before, 0)
            for cell in find_entries(row, "tc"):
                if find_child(cell, "tcPr", "cellDel") is not None:
                    self.left_out["deleted text of tracked changes"] += 1
                    continue
                cells.append(self._cell(cell, part))
                cells += [""] * (read_count(find_child(cell, "tcPr", "gridSpan"), 1) - 1)
            yield from format_row(cells)

    def _cell(self, cell: etree._Element, part: str) -> str:
        merged = find_child(cell, "tcPr", "vMerge")
        if merged is not None and get_attribute(merged, "val") in (None, "continue"):
            return ""
        lines = (clean_characters(text.replace("\f", " ")) for text, _, _ in self.lines(cell, part))
        return "\n".join(line for line in lines if line)

    def loose_comments(self, part: str) -> Iterator[str]:
        """Yield the comments that hang on no place of the text."""
        for (kind, key), note in self.notes.items():
            if kind == "comment" and key not in self._comments_read:
                text = " ".join(clean_characters(line) for line, _, _ in self.lines(note, part))
                if text.strip():
                    yield f"[Comment: {' '.join(text.split())}]"

    # -- runs -----------------------------------------------------------------------------------

    def _read_runs(self, element: etree._Element, part: str, into: _Paragraph) -> None:
        for child in element:
            name = local_name(child)
            if name == "r":
                self._read_run(child, part, into)
            elif name in ("oMath", "oMathPara"):
                into.text += math_text(child)
            elif name == "AlternateContent":
                chosen = choose_alternative(child)
                if chosen is not None:
                    self._read_runs(chosen, part, into)
            elif name in DELETED:
                self.left_out["deleted text of tracked changes"] += 1
            elif name not in PLAIN:
                self._read_runs(child, part, into)

    def _read_run(self, run: etree._Element, part: str, into: _Paragraph) -> None:
        look = self.styles.look(find_child(run, "rPr"), into.style)
        if look.hidden:
            self.left_out["hidden text"] += any(local_name(c) == "t" for c in run)
            return
        if look.white and any(c.text for c in run) and not is_shaded(run):
            self.read_too["white text"] += 1
        for child in run:
            self._read_piece(child, part, into, look)

    def _read_piece(self, child: etree._Element, part: str, into: _Paragraph, look: Look) -> None:
        name = local_name(child)
        if name == "t":
            text = replace_symbols(look.font, child.text or "")
            if look.position and text.strip():
                mark = raise_text if look.position == "superscript" else lower_text
                text = mark(into.text, text.strip())
            into.text += strike_text(text) if look.struck else text
        elif name in ("tab", "ptab"):
            into.text += " "
        elif name == "cr":
            into.text += "\n"
        elif name == "noBreakHyphen":
            into.text += "-"
        elif name == "sym":
            self._read_symbol(child, into)
        elif name == "lastRenderedPageBreak":
            into.text += "\f" if self.rendered else ""
        elif name == "br":
            page = get_attribute(child, "type") == "page"
            into.text += "\n" if not page else "" if self.rendered else "\f"
        elif name == "fldChar":
            into.text += read_form_value(child)
        elif name in ("footnoteReference", "endnoteReference", "commentReference"):
            self._read_note(child, name.removesuffix("Reference"), part, into)
        elif name == "AlternateContent":
            chosen = choose_alternative(child)
            for inner in chosen if chosen is not None else ():
                self._read_piece(inner, part, into, look)
        elif name in ("drawing", "pict", "object"):
            self._read_drawing(child, part, into)
        elif name == "ruby":
            base, over = find_child(child, "rubyBase"), find_child(child, "rt")
            for inner, form in ((base, "{}"), (over, "({})")):
                piece = _Paragraph(into.style)
                if inner is not None:
                    self._read_runs(inner, part, piece)
                into.text += form.format(piece.text) if piece.text else ""

    def _read_symbol(self, symbol: etree._Element, into: _Paragraph) -> None:
        code, font = get_attribute(symbol, "char") or "", get_attribute(symbol, "font") or ""
        sign = decode_symbol(font, int(code, 16)) if re.fullmatch("[0-9A-Fa-f]{2,6}", code) else ""
        into.text += sign
        self.left_out["symbols of unknown fonts"] += not sign

    def _read_note(self, reference: etree._Element, kind: str, part: str, into: _Paragraph) -> None:
        key = get_attribute(reference, "id") or ""
        note = self.notes.get((kind, key))
        if note is None:
            return
        text = " ".join(
            clean_characters(line).replace("\n", " ") for line, _, _ in self.lines(note, part)
        ).strip()
        if kind == "comment":
            self._comments_read.add(key)
            author = get_attribute(note, "author") or ""
            into.after.append(f"[Comment by {author}: {text}]" if author else f"[Comment: {text}]")
            return
        if get_attribute(reference, "customMarkFollows") not in (None, *OFF):
            into.after.append(f"[{kind.capitalize()}: {text}]")  # its mark is text of its own
            return
        self._note_numbers[kind] += 1
        number = str(self._note_numbers[kind])
        into.text += raise_text(into.text, number)
        into.after.append(f"[{kind.capitalize()} {number}: {text}]")

    def _read_drawing(self, drawing: etree._Element, part: str, into: _Paragraph) -> None:
        boxes = [box for box in find_all(drawing, "txbxContent") if not is_within(box, drawing)]
        relations = self.package.relations(part)
        for box in boxes:
            into.after += [line for line, _, _ in self.lines(box, part) if line.strip()]
        for path in find_all(drawing, "textpath"):  # letters drawn as a shape, as watermarks are
            into.after.append(get_attribute(path, "string") or "")
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
        self.left_out["handwriting"] += any(True for _ in find_all(drawing, "contentPart"))
        pictures = any(True for _ in find_all(drawing, "blip", "imagedata"))
        if pictures and not described and not boxes:
            self.left_out["pictures without a description"] += 1
