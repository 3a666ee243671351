"""What is asked of the XML of Word documents: entries of tables, looks of shapes, form fields."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from pace_integrations.documents.formats.archives import (
    find_all,
    find_child,
    get_attribute,
    local_name,
)

DELETED = frozenset({"del", "moveFrom", "delText", "instrText", "delInstrText"})
PLAIN = frozenset({"rPr", "pPr", "tblPr", "tblGrid", "trPr", "tcPr", "sdtPr", "sectPr", "proofErr"})
_CHOICES = ("Choice", "Fallback")
OFF = ("0", "false", "off")
_PAPER = ("AUTO", "FFFFFF")
_MAX_SPAN = 100


def find_entries(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield rows or cells, also those inside content controls and tracked insertions."""
    for child in element:
        found = local_name(child)
        if found == name:
            yield child
        elif found not in ("p", "tbl", *PLAIN, *DELETED):
            yield from find_entries(child, name)


def choose_alternative(element: etree._Element) -> etree._Element | None:
    """Return the one of alternative contents that is read: the first that holds something."""
    return next((c for c in element if local_name(c) in _CHOICES and len(c)), None)


def is_within(box: etree._Element, drawing: etree._Element) -> bool:
    """Tell whether a text box lies in another one, or in the fallback of one that is read."""
    for parent in box.iterancestors():
        if parent is drawing:
            return False
        if local_name(parent) in ("txbxContent", "Fallback"):
            return True
    return False


def is_shaded(run: etree._Element) -> bool:
    """Tell whether a run stands on a color of its own: its own, its paragraph's or its cell's."""
    for element in (run, *run.iterancestors()):
        name = local_name(element)
        if name in ("txbxContent", "tbl"):  # filled by the shape, or by the style of the table
            return True
        shade = find_child(element, f"{name}Pr", "shd")
        if shade is not None and (get_attribute(shade, "fill") or "auto").upper() not in _PAPER:
            return True
        if find_child(element, f"{name}Pr", "highlight") is not None:
            return True
    return False


def read_count(element: etree._Element | None, default: int) -> int:
    """Return how many columns an element says, or the default."""
    value = (get_attribute(element, "val") or "") if element is not None else ""
    return min(int(value), _MAX_SPAN) if value.isdigit() else default


def read_form_value(field_mark: etree._Element) -> str:
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


def insert_mark(text: str, mark: str) -> str:
    """Put a list's mark before the first word, after the page breaks before it."""
    blank = re.match(r"\s*", text)
    place = blank.end() if blank is not None else 0
    return f"{text[:place]}{mark}{text[place:]}"
