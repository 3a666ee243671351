"""The text of HTML elements as a reader of the page reads it: one walk, one writer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import get_attribute, local_name
from pace_integrations.documents.formats.clean import format_number, lower_text, raise_text
from pace_integrations.documents.formats.markup_writer import MarkupWriter

_NOT_SHOWN = "script style template noscript head button nav rp datalist"
_SKIPPED = frozenset(_NOT_SHOWN.split())
_OBJECTS = "iframe object canvas embed audio video applet frame"
_EMBEDDED = frozenset(_OBJECTS.split())
_SPACED = frozenset(["p", "table", "ul", "ol", "pre", "dl", "blockquote", "figure"])
_OTHER_BLOCKS = """
address article aside body caption dd details div dt fieldset figcaption footer form header hr html
li main section summary legend label option
"""
_BLOCKS = _SPACED | frozenset(_OTHER_BLOCKS.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SILENT_INPUTS = frozenset(["hidden", "password", "submit", "button", "image", "reset", "file"])
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass(slots=True)
class HtmlText:
    """The text of an element and what was left out of it.

    Attributes:
        writer: What was written.
        left_out: Names of elements that hold no text, with their numbers.
    """

    writer: MarkupWriter = field(default_factory=MarkupWriter)
    left_out: Counter[str] = field(default_factory=Counter)

    def warnings(self) -> list[str]:
        """Return what was left out, a line for each kind."""
        return [f"{what}, not read: {count}" for what, count in self.left_out.items()]


class _HtmlWalker:
    """Walks through an element once and tells the writer what begins and ends."""

    def __init__(self, root: etree._Element, page_marks: Mapping[str, str]) -> None:
        self.found = HtmlText()
        self._root, self._page_marks = root, page_marks
        self._writer = self.found.writer
        self._lists: list[tuple[str, int]] = []
        self._raised: list[str] = []

    def walk(self) -> HtmlText:
        """Return the text of the element."""
        walk = etree.iterwalk(self._root, events=("start", "end", "comment", "pi"))
        for event, element in walk:
            if event == "start":
                if self._start(element):
                    self._write(element.text)
                    continue
                walk.skip_subtree()
            elif event == "end" and not self._is_left_out(element):
                self._end(element, local_name(element).lower())
            if event != "start" and element is not self._root:
                self._write(element.tail)
        return self.found

    def _write(self, text: str | None) -> None:
        if not text:
            return
        if self._raised:
            mark = raise_text if self._raised[-1] == "sup" else lower_text
            text = mark(self._writer.line, text.strip()) if text.strip() else ""
        self._writer.write(text)

    def _is_left_out(self, element: etree._Element) -> bool:
        name = local_name(element).lower()
        style = element.get("style")
        return (
            not name
            or name in _SKIPPED
            or name in _EMBEDDED
            or name in ("svg", "math", "select", "textarea")
            or "hidden" in element.attrib
            or bool(style and _HIDDEN.search(style))
        )

    def _start(self, element: etree._Element) -> bool:
        """Begin an element; tell whether to go into it."""
        name = local_name(element).lower()
        label = self._find_page_mark(element)
        if label is not None:
            self._writer.mark_page(label)
            if not len(element):
                return False
        if self._is_left_out(element):
            if "hidden" not in element.attrib:
                self._replace(element, name)
            return False
        writer = self._writer
        if name in _HEADINGS:
            writer.mark_heading(_HEADINGS[name])
        elif name in ("ul", "ol"):
            self._start_list(element, name)
        elif name == "li":
            writer.start_item(self._next_mark(element))
        elif name == "table":
            writer.start_table()
        elif name == "tr":
            writer.end_row()
        elif name in ("td", "th"):
            writer.start_cell()
        elif name == "br":
            writer.end_line()
        elif name in ("sup", "sub"):
            self._raised.append(name)
        elif name in ("img", "input"):
            self._replace(element, name)
        elif name in _BLOCKS:
            writer.end_line(2 if name in _SPACED else 1)
        writer.preformatted += name == "pre"
        return True

    def _end(self, element: etree._Element, name: str) -> None:
        writer = self._writer
        writer.preformatted -= name == "pre"
        if name in _HEADINGS:
            writer.end_heading()
        elif name in ("ul", "ol"):
            self._lists.pop()
            writer.end_line(1 if self._lists else 2)
        elif name == "li":
            writer.end_item()
        elif name == "table":
            writer.end_table()
        elif name == "tr":
            writer.end_row()
        elif name in ("td", "th"):
            writer.end_cell()
        elif name in ("sup", "sub"):
            self._raised.pop()
        elif name == "rt":
            writer.write(")")
        elif name in _BLOCKS:
            writer.end_line(2 if name in _SPACED else 1)

    def _start_list(self, element: etree._Element, name: str) -> None:
        self._writer.end_line(1 if self._lists else 2)
        start = element.get("start") or "1"
        number = int(start) if re.fullmatch(r"-?\d{1,9}", start) else 1
        style = element.get("type") or "1"
        self._lists.append((style if name == "ol" else "", number))

    def _next_mark(self, element: etree._Element) -> str:
        if not self._lists or not self._lists[-1][0]:
            return "- "
        style, number = self._lists[-1]
        value = element.get("value") or ""
        number = int(value) if re.fullmatch(r"-?\d{1,9}", value) else number
        self._lists[-1] = (style, number + 1)
        return f"{format_number(number, style)}. "

    def _find_page_mark(self, element: etree._Element) -> str | None:
        """Return the number of the printed page that begins at an element, or None."""
        if element.get("id") in self._page_marks:
            return self._page_marks[element.get("id") or ""]
        if "pagebreak" not in (get_attribute(element, "type") or "").split() and (
            element.get("role") != "doc-pagebreak"
        ):
            return None
        label = element.get("title") or element.get("aria-label") or "".join(element.itertext())
        number = re.search(r"[ivxlcdm]+$|\d+", label or element.get("id") or "", re.IGNORECASE)
        return number[0] if number else None

    def _replace(self, element: etree._Element, name: str) -> None:
        """Write what an element without text of its own shows, or count it."""
        writer = self._writer
        if name == "img":
            text = " ".join((element.get("alt") or "").split())
            if text:
                writer.write(f"[Image: {text}]")
            elif element.get("alt") is None:
                self.found.left_out["pictures without a description"] += 1
        elif name == "input":
            writer.write(_input_text(element))
        elif name == "select":
            writer.write(f" {_selected_text(element)} ")
        elif name == "textarea":
            writer.write(f" {''.join(element.itertext())} ")
        elif name == "math":
            writer.write(f" {_math_text(element)} ")
        elif name == "svg":
            texts = [e for e in element.iter() if local_name(e) in ("text", "title", "desc")]
            writer.write(" ".join(" ".join(e.itertext()) for e in texts))
        elif name in _EMBEDDED:
            self.found.left_out[f"embedded objects ({name})"] += 1


def _input_text(element: etree._Element) -> str:
    kind = (element.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return "[x] " if "checked" in element.attrib else "[ ] "
    value = " ".join((element.get("value") or "").split())
    return f" {value} " if value and kind not in _SILENT_INPUTS else ""


def _selected_text(element: etree._Element) -> str:
    options = [option for option in element.iter() if local_name(option) == "option"]
    chosen = [option for option in options if "selected" in option.attrib]
    if not chosen and "multiple" not in element.attrib:
        chosen = options[:1]
    return ", ".join(" ".join((option.text or "").split()) for option in chosen)


def _math_text(element: etree._Element) -> str:
    if element.get("alttext"):
        return element.get("alttext") or ""
    for child in element.iter():
        if local_name(child) == "annotation" and "tex" in (child.get("encoding") or ""):
            return "".join(child.itertext())
    return "".join("".join(element.itertext()).split())


def read_element(root: etree._Element, page_marks: Mapping[str, str] | None = None) -> HtmlText:
    """Return the text of an element as it reads.

    Scripts, styles, navigation and what is hidden are left out.

    Args:
        root: The element.
        page_marks: Numbers of printed pages, by the ids of the elements where they begin.
    """
    return _HtmlWalker(root, page_marks or {}).walk()
