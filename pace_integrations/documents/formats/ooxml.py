"""What the Office formats share: parts and their relations, drawings, equations, properties.

Names are compared without their namespaces, of which Office has two sets (transitional, strict).
"""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from pace_integrations.documents.formats.archives import (
    find_all,
    find_child,
    get_attribute,
    local_name,
    open_archive,
    read_part,
)
from pace_integrations.documents.formats.clean import (
    clean_characters,
    format_number,
    lower_text,
    raise_text,
    strike_text,
)
from pace_integrations.documents.formats.equations import (
    format_fraction,
    format_root,
    format_scripts,
)

_LONGEST = 200
_MAX_DEPTH = 100
_PROPERTIES = {
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "created": "created",
}
_LIST_STYLES = {"alphaLc": "a", "alphaUc": "A", "romanLc": "i", "romanUc": "I"}


@dataclass(slots=True)
class Package:
    """An open Office file.

    Attributes:
        archive: Its archive.
        main: Name of the part that holds the document proper.
        left_out: What was met and not read, with its numbers.
    """

    archive: zipfile.ZipFile
    main: str
    left_out: Counter[str] = field(default_factory=Counter)
    _relations: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def read(self, name: str) -> etree._Element | None:
        """Parse a part, or return None where it is missing or broken."""
        return read_part(self.archive, name)

    def relations(self, part: str) -> Mapping[str, tuple[str, str]]:
        """Return the kinds and targets of a part's relations, by their ids."""
        if part not in self._relations:
            folder, name = posixpath.split(part)
            root = self.read(posixpath.join(folder, "_rels", f"{name}.rels"))
            found = {}
            for entry in root if root is not None else ():
                target = entry.get("Target") or ""
                if entry.get("TargetMode") != "External":
                    target = posixpath.normpath(posixpath.join(folder, target)).lstrip("/")
                kind = (entry.get("Type") or "").rsplit("/", 1)[-1]
                found[entry.get("Id") or ""] = (kind, target)
            self._relations[part] = found
        return self._relations[part]

    def find_related(self, part: str, kind: str) -> list[str]:
        """Return the targets of a part's relations of one kind."""
        return [target for found, target in self.relations(part).values() if found == kind]

    def metadata(self) -> tuple[str | None, dict[str, str]]:
        """Return the title and what else the file says of itself."""
        root = self.read("docProps/core.xml")
        values: dict[str, str] = {}
        for entry in root if root is not None else ():
            key = _PROPERTIES.get(local_name(entry), local_name(entry))
            text = " ".join(clean_characters(entry.text or "").split())[:_LONGEST]
            if text and key in (*_PROPERTIES.values(), "title"):
                values[key] = text
        return values.pop("title", None), values

    def warnings(self) -> tuple[str, ...]:
        """Return what was not read, a line for each kind."""
        if any("vbaProject" in name for name in self.archive.namelist()):
            self.left_out["macros"] += 1
        return tuple(f"{what}, not read: {n}" for what, n in self.left_out.items() if n)


def open_package(data: bytes, limit: int, default: str) -> Package:
    """Open an Office file.

    Args:
        data: The file.
        limit: Most bytes of its parts together.
        default: Name of the main part where the file names none.

    Raises:
        LimitExceededError: The parts are larger.
        ValueError: The main part is missing or no XML.
    """
    package = Package(open_archive(data, limit), default)
    related = package.find_related("", "officeDocument")
    if related:
        package.main = related[0]
    return package


def math_text(element: etree._Element, depth: int = 0) -> str:
    """Return an equation (OMML) on one line: ``(a+b)/(c)``, ``x^2``, ``sqrt(y)``."""
    name = local_name(element)
    if name == "t":
        return element.text or ""
    if depth > _MAX_DEPTH:
        return "".join(e.text or "" for e in find_all(element, "t"))

    def part(child: str) -> str:
        found = find_child(element, child)
        return math_text(found, depth + 1) if found is not None else ""

    if name == "f":
        return format_fraction(part("num"), part("den"))
    if name in ("sSup", "sSub", "sSubSup"):
        return format_scripts(part("e"), part("sub"), part("sup"))
    if name == "rad":
        return format_root(part("deg"), part("e"))
    if name == "d":
        inner = ", ".join(math_text(c, depth + 1) for c in element if local_name(c) == "e")
        return f"({inner})"
    if name == "nary":
        sign = next((get_attribute(c, "val") or "" for c in find_all(element, "chr")), "∫")
        return f"{format_scripts(sign, part('sub'), part('sup'))} {part('e')}"
    if name in ("limLow", "limUpp"):
        below, above = (part("lim"), "") if name == "limLow" else ("", part("lim"))
        return f"{format_scripts(part('e'), below, above)} "
    if name == "func":
        return f"{part('fName').rstrip()} {part('e')}"
    if name == "acc":
        sign = next((get_attribute(c, "val") or "" for c in find_all(element, "chr")), "^")
        return f"{part('e')}{sign}"
    if name == "mr":
        return (
            "[" + ", ".join(math_text(c, depth + 1) for c in element if local_name(c) == "e") + "]"
        )
    return "".join(
        math_text(child, depth + 1) for child in element if local_name(child) != "ctrlPr"
    )


def drawing_paragraphs(root: etree._Element) -> Iterator[str]:
    """Yield the paragraphs of DrawingML below an element: shapes, diagrams, charts' titles."""
    owner, counts = None, dict[int, int]()
    for paragraph in find_all(root, "p"):
        if paragraph.getparent() is not owner:
            owner, counts = paragraph.getparent(), {}
        text = ""
        for child in paragraph:
            text += _drawing_run(child, text)
        if text.strip():
            yield " ".join(f"{_list_mark(paragraph, counts)}{text}".split())


def _list_mark(paragraph: etree._Element, counts: dict[int, int]) -> str:
    """Return the number that an item of a list shows, or ""; counts on by levels."""
    properties = find_child(paragraph, "pPr")
    given = (properties.get("lvl") or "0") if properties is not None else "0"
    level = int(given) if given.isdigit() else 0
    for deeper in [key for key in counts if key > level]:
        del counts[deeper]
    numbered = find_child(properties, "buAutoNum") if properties is not None else None
    if numbered is None:
        counts.pop(level, None)
        return ""
    kind, start = numbered.get("type") or "arabicPeriod", numbered.get("startAt") or "1"
    counts[level] = counts.get(level, int(start) - 1 if start.isdigit() else 0) + 1
    style = next((mark for name, mark in _LIST_STYLES.items() if kind.startswith(name)), "1")
    number = format_number(counts[level], style)
    if kind.endswith("ParenBoth"):
        return f"({number}) "
    return f"{number}{')' if kind.endswith('ParenR') else '.'} "


def _drawing_run(element: etree._Element, before: str) -> str:
    name = local_name(element)
    if name == "br":
        return " "
    if name in ("r", "fld"):
        text = "".join(child.text or "" for child in element if local_name(child) == "t")
        look = find_child(element, "rPr")
        if look is not None and look.get("strike") in ("sngStrike", "dblStrike"):
            text = strike_text(text)
        moved = (look.get("baseline") or "0").rstrip("%") if look is not None else "0"
        if moved in ("0", "") or not text.strip():
            return text
        mark = lower_text if moved.startswith("-") else raise_text
        return mark(before, text.strip())
    if name == "AlternateContent":
        chosen = next((c for c in element if len(c)), None)
        return "".join(_drawing_run(c, before) for c in chosen) if chosen is not None else ""
    return math_text(element) if name in ("oMath", "oMathPara", "m") else ""
