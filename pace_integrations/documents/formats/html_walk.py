"""The text of HTML elements as a reader of the page reads it: one walk, one writer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree
from lxml import html as lxml_html

from pace_integrations.documents.formats.archives import get_attribute, local_name
from pace_integrations.documents.formats.clean import (
    format_number,
    lower_text,
    raise_text,
    strike_text,
)
from pace_integrations.documents.formats.markup_writer import MarkupWriter
from pace_integrations.documents.formats.mathml import math_source

_NOT_SHOWN = "script style template noscript head button nav rp datalist"
_SKIPPED = frozenset(_NOT_SHOWN.split())
_NAMED = {"nav": "navigation", "button": "buttons"}
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
_LIST_STYLE = re.compile(r"list-style(?:-type)?\s*:\s*(?:lower|upper)-(?:alpha|latin|roman)", re.I)
_MAX_SPAN = 100
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
        self._lists: list[tuple[str, int, int]] = []
        self._raised: list[str] = []
        self._struck = 0

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
        self._writer.write(strike_text(text) if self._struck else text)

    def _is_left_out(self, element: etree._Element) -> bool:
        name = local_name(element).lower()
        return (
            not name
            or name in _SKIPPED
            or name in _EMBEDDED
            or name in ("svg", "math", "select", "textarea")
            or _is_hidden(element)
        )

    def _start(self, element: etree._Element) -> bool:
        """Begin an element; tell whether to go into it."""
        name = local_name(element).lower()
        label = self._find_page_mark(element)
        if label is not None:
            self._writer.mark_page(label)
            if not len(element):
                return False
        if _is_hidden(element):
            self.found.left_out["hidden text"] += any(t.strip() for t in element.itertext())
            return False
        if self._is_left_out(element):
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
        elif name == "rt":
            writer.write("(")
        elif name == "q":
            writer.write('"')
        elif name == "br":
            writer.end_line()
        elif name in ("sup", "sub"):
            self._raised.append(name)
        elif name in ("img", "input", "area"):
            self._replace(element, name)
        elif name in _BLOCKS:
            writer.end_line(2 if name in _SPACED else 1)
        writer.preformatted += name == "pre"
        self._struck += _is_struck(element, name)
        return True

    def _end(self, element: etree._Element, name: str) -> None:
        writer = self._writer
        writer.preformatted -= name == "pre"
        self._struck -= _is_struck(element, name)
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
            writer.end_cell(*(_read_span(element, key) for key in ("colspan", "rowspan")))
        elif name in ("sup", "sub"):
            self._raised.pop()
        elif name == "q":
            writer.write('"')
        elif name == "abbr" and (element.get("title") or "").strip():
            writer.write(f" ({element.get('title')})")
        elif name == "rt":
            writer.write(")")
        elif name in _BLOCKS:
            writer.end_line(2 if name in _SPACED else 1)

    def _start_list(self, element: etree._Element, name: str) -> None:
        self._writer.end_line(1 if self._lists else 2)
        start, step = element.get("start") or "", 1
        if "reversed" in element.attrib:
            step = -1
            start = start or str(sum(local_name(item) == "li" for item in element))
        number = int(start) if re.fullmatch(r"-?\d{1,9}", start) else 1
        style = element.get("type") or _list_style(element.get("style") or "")
        self._lists.append((style if name == "ol" else "", number, step))

    def _next_mark(self, element: etree._Element) -> str:
        if not self._lists or not self._lists[-1][0]:
            return "- "
        style, number, step = self._lists[-1]
        value = element.get("value") or ""
        number = int(value) if re.fullmatch(r"-?\d{1,9}", value) else number
        self._lists[-1] = (style, number + step, step)
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
        if name in ("img", "area"):
            text = " ".join((element.get("alt") or "").split())
            if text:
                writer.write(f"[Image: {text}]")
            elif name == "img" and element.get("alt") is None and not _is_spacer(element):
                self.found.left_out["pictures without a description"] += 1
        elif name == "input":
            writer.write(_input_text(element))
        elif name == "select":
            writer.write(f" {_selected_text(element)} ")
        elif name == "textarea":
            writer.write(f" {''.join(element.itertext())} ")
        elif name == "math":
            writer.write(f" {math_source(element)} ")
        elif name == "svg":
            texts = [e for e in element.iter() if local_name(e) in ("text", "title", "desc")]
            writer.write(" ".join(" ".join(e.itertext()) for e in texts))
        elif name in _NAMED:
            self.found.left_out[_NAMED[name]] += 1
        elif name == "iframe" and element.get("srcdoc"):
            writer.end_line()
            writer.write(_frame_text(element.get("srcdoc") or ""))
            writer.end_line()
        elif name in _EMBEDDED:
            self.found.left_out[f"embedded objects ({name})"] += 1


def _input_text(element: etree._Element) -> str:
    kind = (element.get("type") or "text").lower()
    if kind == "image" and element.get("alt"):
        return f"[Image: {element.get('alt')}] "
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


def _is_hidden(element: etree._Element) -> bool:
    style = element.get("style")
    return "hidden" in element.attrib or bool(style and _HIDDEN.search(style))


def _is_struck(element: etree._Element, name: str) -> bool:
    return name in ("s", "strike", "del") or "line-through" in (element.get("style") or "")


def _is_spacer(element: etree._Element) -> bool:
    """Tell whether a picture is of one dot, as those that count readers and fill space are."""
    return any((element.get(key) or "").strip() in ("0", "1") for key in ("width", "height"))


def _read_span(element: etree._Element, name: str) -> int:
    value = (element.get(name) or "").strip()
    return min(int(value), _MAX_SPAN) if value.isascii() and value.isdigit() else 1


def _list_style(style: str) -> str:
    """Return the mark of a list as its own style says: ``a A i I``, else ``1``."""
    found = _LIST_STYLE.search(style)
    if found is None:
        return "1"
    letter = "i" if found[0].lower().endswith("roman") else "a"
    return letter.upper() if "upper" in found[0].lower() else letter


def _frame_text(source: str) -> str:
    """Return the text of a page that stands in an attribute."""
    tree = lxml_html.fragment_fromstring(source, create_parent="div")
    return read_element(tree).writer.text()


def read_element(root: etree._Element, page_marks: Mapping[str, str] | None = None) -> HtmlText:
    """Return the text of an element as it reads.

    Scripts, styles, navigation and what is hidden are left out.

    Args:
        root: The element.
        page_marks: Numbers of printed pages, by the ids of the elements where they begin.
    """
    return _HtmlWalker(root, page_marks or {}).walk()
