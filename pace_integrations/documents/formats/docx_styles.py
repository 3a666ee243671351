"""Styles and list numbers of Word documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import find_child, get_attribute, local_name
from pace_integrations.documents.formats.clean import format_number
from pace_integrations.documents.formats.ooxml import Package

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_FORMATS = {
    "decimalZero": "01",
    "lowerLetter": "a",
    "upperLetter": "A",
    "lowerRoman": "i",
    "upperRoman": "I",
}
_MAX_PARENTS = 20
_OFF = ("0", "false", "off")
_STRUCK = ("strike", "dstrike")
_MOVED = 5  # half points that raised text stands above its line, at the least


@dataclass(frozen=True, slots=True)
class _Style:
    name: str = ""
    parent: str = ""
    outline: int | None = None
    number: str = ""
    depth: int = 0
    look: etree._Element | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How a run of text looks.

    Attributes:
        hidden: Whether it is not shown.
        position: ``superscript``, ``subscript`` or "".
        white: Whether its letters are white.
        struck: Whether it is struck out.
        font: Its font where it names one, or "".
    """

    hidden: bool = False
    position: str = ""
    white: bool = False
    struck: bool = False
    font: str = ""


def _value(element: etree._Element | None, *path: str) -> str | None:
    found = find_child(element, *path) if element is not None else None
    return get_attribute(found, "val") if found is not None else None


@dataclass(frozen=True, slots=True)
class Styles:
    """Styles by their ids."""

    by_id: Mapping[str, _Style]

    @classmethod
    def load(cls, package: Package) -> Styles:
        """Read the styles of a document."""
        found: dict[str, _Style] = {}
        for name in package.find_related(package.main, "styles"):
            root = package.read(name)
            for entry in root if root is not None else ():
                if local_name(entry) != "style":
                    continue
                outline = _value(entry, "pPr", "outlineLvl") or ""
                depth = _value(entry, "pPr", "numPr", "ilvl") or "0"
                found[get_attribute(entry, "styleId") or ""] = _Style(
                    _value(entry, "name") or "",
                    _value(entry, "basedOn") or "",
                    int(outline) if outline.isdigit() else None,
                    _value(entry, "pPr", "numPr", "numId") or "",
                    int(depth) if depth.isdigit() else 0,
                    find_child(entry, "rPr"),
                )
        return cls(found)

    def _chain(self, style: str) -> list[_Style]:
        """Return a style and those that it is based on."""
        chain: list[_Style] = []
        while style in self.by_id and len(chain) < _MAX_PARENTS:
            chain.append(self.by_id[style])
            style = self.by_id[style].parent
        return chain

    def heading_level(self, style: str, properties: etree._Element | None) -> int:
        """Return the level of a paragraph that is a heading, from 1, or 0."""
        outline = _value(properties, "outlineLvl") or ""
        if outline.isdigit() and int(outline) < 9:
            return int(outline) + 1
        for entry in self._chain(style):
            named = _HEADING.match(entry.name)
            if named:
                return int(named[1])
            if entry.name.lower() == "title":
                return 1
            if entry.outline is not None and entry.outline < 9:
                return entry.outline + 1
        return 0

    def numbering(self, style: str, properties: etree._Element | None) -> tuple[str, int]:
        """Return the list that a paragraph is an item of, or "", and its depth."""
        number = _value(properties, "numPr", "numId")
        depth = _value(properties, "numPr", "ilvl") or ""
        if number is not None:
            return "" if number == "0" else number, int(depth) if depth.isdigit() else 0
        for entry in self._chain(style):
            if entry.number:
                return "" if entry.number == "0" else entry.number, entry.depth
        return "", 0

    def look(self, properties: etree._Element | None, paragraph_style: str) -> Look:
        """Return how a run looks: by what it says itself, else by its styles."""
        styles = [*self._chain(_value(properties, "rStyle") or ""), *self._chain(paragraph_style)]
        looks = [properties, *(entry.look for entry in styles)]
        said: dict[str, etree._Element] = {}
        for look in looks:
            for entry in look if look is not None else ():
                said.setdefault(local_name(entry), entry)
        vanish, color = said.get("vanish"), said.get("color")
        font = said.get("rFonts")
        return Look(
            vanish is not None and get_attribute(vanish, "val") not in _OFF,
            _find_position(said),
            color is not None and (get_attribute(color, "val") or "").upper() == "FFFFFF",
            any(
                get_attribute(s, "val") not in _OFF for s in map(said.get, _STRUCK) if s is not None
            ),
            (get_attribute(font, "ascii") or "") if font is not None else "",
        )


def _find_position(said: Mapping[str, etree._Element]) -> str:
    """Return how a run stands on its line: as its style says, or moved by a third of its size."""
    aligned, moved = said.get("vertAlign"), said.get("position")
    value = (get_attribute(aligned, "val") or "") if aligned is not None else ""
    if value in ("superscript", "subscript"):
        return value
    points = (get_attribute(moved, "val") or "") if moved is not None else ""
    if not points.lstrip("-").isdigit() or abs(int(points)) < _MOVED:
        return ""
    return "superscript" if int(points) > 0 else "subscript"


@dataclass(frozen=True, slots=True)
class _Level:
    style: str = "decimal"
    text: str = "%1."
    start: int = 1
    is_legal: bool = False


@dataclass(slots=True)
class Numbering:
    """Lists by their ids, and how far each has counted."""

    levels: Mapping[tuple[str, int], _Level]
    lists: Mapping[str, str]
    overrides: Mapping[tuple[str, int], int]
    own_levels: Mapping[tuple[str, int], _Level] = field(default_factory=dict)
    _counts: dict[str, list[int | None]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, package: Package) -> Numbering:
        """Read the lists of a document."""
        levels: dict[tuple[str, int], _Level] = {}
        lists: dict[str, str] = {}
        overrides: dict[tuple[str, int], int] = {}
        own: dict[tuple[str, int], _Level] = {}
        links: dict[str, str] = {}
        for name in package.find_related(package.main, "numbering"):
            root = package.read(name)
            for entry in root if root is not None else ():
                if local_name(entry) == "abstractNum":
                    key = get_attribute(entry, "abstractNumId") or ""
                    levels.update({(key, n): level for n, level in _read_levels(entry)})
                    # A list may be that of a style, which another one defines.
                    links[_value(entry, "styleLink") or ""] = key
                    links[f"\0{key}"] = _value(entry, "numStyleLink") or ""
                elif local_name(entry) == "num":
                    key = get_attribute(entry, "numId") or ""
                    lists[key] = _value(entry, "abstractNumId") or ""
                    for override in entry:
                        depth = get_attribute(override, "ilvl") or ""
                        start = _value(override, "startOverride") or ""
                        if depth.isdigit() and start.isdigit():
                            overrides[key, int(depth)] = int(start)
                        own.update({(key, n): level for n, level in _read_levels(override)})
        lists = {n: links.get(links.get(f"\0{key}") or "\0", key) for n, key in lists.items()}
        return cls(levels, lists, overrides, own)

    def _level(self, number: str, abstract: str, depth: int) -> _Level | None:
        return self.own_levels.get((number, depth)) or self.levels.get((abstract, depth))

    def next_mark(self, number: str, depth: int) -> str:
        """Return the mark of the next item of a list, with a space after it, or ""."""
        abstract = self.lists.get(number)
        level = self._level(number, abstract or "", depth)
        if abstract is None or level is None:
            return "- " if abstract is not None else ""
        if level.style == "bullet":
            return "- "
        if level.style == "none":
            return ""
        counts = self._counts.setdefault(abstract, [None] * 10)
        start = self.overrides.get((number, depth))
        if start is None and (number, depth) in self.own_levels:
            start = level.start
        if start is not None and f"{number}/{depth}" not in self._seen:
            self._seen.add(f"{number}/{depth}")
            counts[depth] = None
        first = start if start is not None else level.start
        before = counts[depth]
        counts[depth] = first if before is None else before + 1
        counts[depth + 1 :] = [None] * (len(counts) - depth - 1)
        return self._format(number, depth, level, counts)

    def _format(self, number: str, depth: int, level: _Level, counts: list[int | None]) -> str:
        text = level.text
        for place in range(depth + 1):
            other = self._level(number, self.lists[number], place) or _Level()
            value = counts[place] if counts[place] is not None else other.start
            style = "1" if level.is_legal and place < depth else _FORMATS.get(other.style, "1")
            text = text.replace(f"%{place + 1}", format_number(value or 0, style))
        return f"{text} " if text.strip() else ""


def _read_levels(abstract: etree._Element) -> list[tuple[int, _Level]]:
    found = []
    for entry in abstract:
        depth = get_attribute(entry, "ilvl") or ""
        if local_name(entry) == "lvl" and depth.isdigit() and int(depth) < 9:
            start = _value(entry, "start") or "1"
            level = _Level(
                _value(entry, "numFmt") or "decimal",
                _value(entry, "lvlText") or "",
                int(start) if start.lstrip("-").isdigit() else 1,
                find_child(entry, "isLgl") is not None,
            )
            found.append((int(depth), level))
    return found
