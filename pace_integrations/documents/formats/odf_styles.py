"""Styles of OpenDocument files: numbers of lists and headings, raised text, what is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import find_all, get_attribute, local_name
from pace_integrations.documents.formats.clean import format_number

OUTLINE = "\0outline"
"""The list that headings are items of."""

_FORM_FIELDS = ("text", "textarea", "formatted-text", "combobox", "number", "date", "time")
_PERCENT = re.compile(r"(-?)\d+(?:\.\d+)?%")


@dataclass(frozen=True, slots=True)
class _Level:
    kind: str = ""
    prefix: str = ""
    suffix: str = "."
    start: int = 1
    shown: int = 1


@dataclass(slots=True)
class OdfStyles:
    """The styles of a document, and how far its lists have counted.

    Attributes:
        raised: ``super`` or ``sub``, by the names of styles.
        struck: Names of styles whose text is struck out.
        hidden: Names of styles whose text or table is not shown.
    """

    raised: dict[str, str] = field(default_factory=dict)
    struck: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    _levels: dict[tuple[str, int], _Level] = field(default_factory=dict)
    _counts: dict[str, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def load(cls, roots: Sequence[etree._Element]) -> OdfStyles:
        """Read the styles below some elements."""
        styles = cls()
        for root in roots:
            for style in find_all(root, "list-style", "outline-style"):
                named = local_name(style) == "list-style"
                name = (get_attribute(style, "name") or "") if named else OUTLINE
                for entry in style:
                    depth = get_attribute(entry, "level") or "1"
                    if depth.isdigit():
                        styles._levels[name, int(depth)] = _read_level(entry)
            for style in find_all(root, "style"):
                styles._read_style(style)
        return styles

    def _read_style(self, style: etree._Element) -> None:
        name, parent = (get_attribute(style, key) or "" for key in ("name", "parent-style-name"))
        if parent in self.raised:
            self.raised[name] = self.raised[parent]
        if parent in self.struck:
            self.struck.add(name)
        for entry in style:
            position = (get_attribute(entry, "text-position") or "").split(" ")[0]
            percent = _PERCENT.fullmatch(position)
            if position in ("super", "sub"):
                self.raised[name] = position
            elif percent is not None and position.strip("-0.%"):
                self.raised[name] = "sub" if percent[1] else "super"
            if (get_attribute(entry, "text-line-through-style") or "none") != "none":
                self.struck.add(name)
            if get_attribute(entry, "display") in ("none", "false"):
                self.hidden.add(name)

    def is_hidden(self, element: etree._Element) -> bool:
        """Tell whether an element of the text is not shown."""
        style = get_attribute(element, "style-name")
        if style is not None and style in self.hidden and local_name(element) != "table":
            return True
        if local_name(element) in ("section", "hidden-paragraph"):
            return get_attribute(element, "display") == "none"
        return False

    def restart(self, name: str, depth: int) -> None:
        """Let a list count from its start again, from a depth on."""
        counts = self._counts.get(name, {})
        for deeper in [key for key in counts if key >= depth]:
            del counts[deeper]

    def next_mark(self, name: str, depth: int, given: str | None) -> str:
        """Return the mark of the next item of a list, with a space after it, or ""."""
        level = self._levels.get((name, depth), _Level())
        if not level.kind:
            return ""
        counts = self._counts.setdefault(name, {})
        before = counts.get(depth, level.start - 1)
        self.restart(name, depth + 1)
        counts[depth] = int(given) if given is not None and given.isdigit() else before + 1
        first = max(1, depth - level.shown + 1)
        shown = [(n, self._levels.get((name, n), _Level())) for n in range(first, depth + 1)]
        numbers = [format_number(counts.get(n, at.start), at.kind) for n, at in shown if at.kind]
        return f"{level.prefix}{'.'.join(numbers)}{level.suffix} "


def _read_level(entry: etree._Element) -> _Level:
    numbered = local_name(entry) in ("list-level-style-number", "outline-level-style")
    start, shown = (get_attribute(entry, key) or "1" for key in ("start-value", "display-levels"))
    outline = local_name(entry) == "outline-level-style"
    return _Level(
        (get_attribute(entry, "num-format") or "") if numbered else "",
        get_attribute(entry, "num-prefix") or "",
        get_attribute(entry, "num-suffix") or ("" if outline else "."),
        int(start) if start.isdigit() else 1,
        int(shown) if shown.isdigit() else 1,
    )


def form_values(forms: etree._Element) -> Iterator[str]:
    """Yield what is filled in to the fields of a form, a line for each."""
    for entry in forms.iter():
        kind, name = local_name(entry), get_attribute(entry, "name") or ""
        value = ""
        if kind in _FORM_FIELDS:
            value = get_attribute(entry, "current-value") or get_attribute(entry, "value") or ""
        elif kind in ("checkbox", "radio"):
            state = get_attribute(entry, "current-state") or get_attribute(
                entry, "current-selected"
            )
            checked = state in ("checked", "true")
            value = (get_attribute(entry, "label") or "checked") if checked else ""
        elif kind == "option" and get_attribute(entry, "current-selected") == "true":
            value = get_attribute(entry, "label") or ""
        if value.strip():
            yield f"[Field {name}: {' '.join(value.split())}]"
