"""Values of the cells of Excel workbooks, as the sheet shows them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from lxml import etree
from openpyxl.styles.numbers import BUILTIN_FORMATS

from pace_integrations.documents.formats.archives import (
    find_all,
    find_child,
    get_attribute,
    local_name,
)
from pace_integrations.documents.formats.clean import lower_text, raise_text, strike_text
from pace_integrations.documents.formats.number_formats import format_stored
from pace_integrations.documents.formats.ooxml import Package


def rich_text(entry: etree._Element) -> str:
    """Return the text of a string with looks: raised and lowered parts keep their meaning."""
    text = ""
    for child in entry:
        name = local_name(child)
        if name == "t":
            text += child.text or ""
        elif name == "r":  # phonetic readings (rPh) repeat what is written
            piece = "".join(part.text or "" for part in child if local_name(part) == "t")
            look = find_child(child, "rPr", "vertAlign")
            position = get_attribute(look, "val") if look is not None else ""
            if piece.strip() and position in ("superscript", "subscript"):
                mark = raise_text if position == "superscript" else lower_text
                piece = mark(text, piece.strip())
            piece = strike_text(piece) if _is_struck(find_child(child, "rPr")) else piece
            text += piece
    return text.replace("_x000D_", "")


def _is_struck(look: etree._Element | None) -> bool:
    """Tell whether the look of a run, or a font, strikes text out."""
    strike = find_child(look, "strike") if look is not None else None
    return strike is not None and get_attribute(strike, "val") not in ("0", "false")


@dataclass(slots=True)
class CellReader:
    """Reads cells of one workbook.

    Attributes:
        strings: The strings that cells share.
        codes: The format's code of every cell style.
        struck: The cell styles that strike their text out.
        from_1904: Whether days are counted from 1904.
        uncomputed: Formulas without a stored value, so far.
    """

    strings: Sequence[str]
    codes: Sequence[str]
    struck: Set[str]
    from_1904: bool
    uncomputed: int = 0

    @classmethod
    def load(cls, package: Package, workbook: etree._Element, strings: Sequence[str]) -> CellReader:
        """Read the styles of a workbook."""
        codes, struck = list[str](), set[str]()
        for part in package.find_related(package.main, "styles"):
            root = package.read(part)
            if root is None:
                continue
            own = {
                entry.get("numFmtId"): entry.get("formatCode") or "General"
                for entry in find_all(root, "numFmt")
            }
            styles, fonts = find_child(root, "cellXfs"), find_child(root, "fonts")
            looks = {
                str(n)
                for n, font in enumerate(fonts if fonts is not None else ())
                if _is_struck(font)
            }
            for style in styles if styles is not None else ():
                if style.get("fontId") in looks:
                    struck.add(str(len(codes)))
                key = style.get("numFmtId") or "0"
                known = BUILTIN_FORMATS.get(int(key), "General") if key.isdigit() else "General"
                codes.append(own.get(key, known))
        settings = find_child(workbook, "workbookPr")
        old = settings is not None and settings.get("date1904") in ("1", "true")
        return cls(strings, codes, struck, old)

    def read(self, cell: etree._Element) -> str:
        """Return what a cell shows."""
        text = self._read_value(cell)
        return strike_text(text) if self.struck and cell.get("s") in self.struck else text

    def _read_value(self, cell: etree._Element) -> str:
        kind, value = cell.get("t") or "n", ""
        for child in cell:
            name = local_name(child)
            if name == "v":
                value = str(child.text or "")
            elif name == "is":
                return rich_text(child)
        if not value.strip():
            self.uncomputed += any(local_name(child) == "f" for child in cell)
            return value
        if kind == "s":
            place = int(value) if value.strip().isdigit() else -1
            return self.strings[place] if 0 <= place < len(self.strings) else ""
        if kind == "b":
            return "TRUE" if value.strip() == "1" else "FALSE"
        if kind in ("str", "e", "d"):
            return value
        style = cell.get("s") or "0"
        known = style.isdigit() and int(style) < len(self.codes)
        code = self.codes[int(style)] if known else "General"
        return format_stored(value, code, from_1904=self.from_1904)
