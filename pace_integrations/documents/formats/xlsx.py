"""Reads Excel workbooks: sheets in slices of rows, each with the header row."""

from __future__ import annotations

import re
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
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.csv_table import slice_rows
from pace_integrations.documents.formats.ooxml import Package, drawing_paragraphs, open_package
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.xlsx_cells import CellReader, rich_text
from pace_integrations.documents.types import Page, ParseResult

_EMPTY = "The workbook holds no cells with values; open it, let it compute, and save it."
_BINARY = "It is a binary workbook (.xlsb); save it as .xlsx."
_COLUMN = re.compile(r"[A-Z]{1,3}")
_PRINTED = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{6}|\d{1,3}|[A-Z&])')
_DRAWN = ("sp", "pic", "chart", "contentPart")
_MAX_COLUMN = 16_384
_THREAD = "[Threaded comment]"


def _column(reference: str, default: int) -> int:
    """Return the number of the column of a cell, from 0."""
    letters = _COLUMN.match(reference)
    if letters is None:
        return default
    number = 0
    for letter in letters[0]:
        number = number * 26 + ord(letter) - 64
    return min(number, _MAX_COLUMN) - 1


@dataclass(slots=True)
class _Sheet:
    """One sheet while it is read.

    Attributes:
        margins: Texts of the printed headers and footers.
        hidden: Rows and columns that are not shown.
    """

    package: Package
    cells: CellReader
    name: str
    part: str
    margins: list[str] = field(default_factory=list)
    hidden: int = 0

    def rows(self) -> Iterator[list[str]]:
        """Yield the cells of the rows, up to the last one with a value."""
        try:
            stream = self.package.archive.open(self.part)
        except KeyError:
            self.package.left_out["missing sheets"] += 1
            return
        last = blank = 0
        with stream:
            events = etree.iterparse(
                stream, ("end",), tag=("{*}row", "{*}col", "{*}headerFooter"), recover=True,
                huge_tree=True, resolve_entities=False, no_network=True,
            )  # fmt: skip
            for _, element in events:
                self.hidden += element.get("hidden") in ("1", "true")
                if local_name(element) == "headerFooter":
                    self._read_margins(element)
                elif local_name(element) == "row":
                    given = element.get("r") or ""
                    number = int(given) if given.isdigit() else last + 1
                    blank += max(0, number - last - 1)
                    last = max(last, number)
                    values = self._row(element)
                    blank += not any(values)
                    if any(values):
                        yield from ([] for _ in range(blank))
                        blank = 0
                        yield values
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]

    def _row(self, row: etree._Element) -> list[str]:
        values: list[str] = []
        for cell in row:
            text = self.cells.read(cell)
            if text:
                column = _column(cell.get("r") or "", len(values))
                values += [""] * (column - len(values))
                values.append(text)
            elif not cell.get("r"):
                values.append("")
        return values

    def _read_margins(self, element: etree._Element) -> None:
        for entry in element:
            text = " ".join(_PRINTED.sub(" ", entry.text or "").split())
            if any(char.isalnum() for char in text.lower().replace("page", "").replace("of", "")):
                kind = "Header" if local_name(entry).endswith("Header") else "Footer"
                self.margins.append(f"[{kind}: {text}]")

    def lines_beside(self) -> list[str]:
        """Return what stands beside the cells: comments, text boxes, charts, printed margins."""
        package, lines = self.package, list(dict.fromkeys(self.margins))
        for target in package.find_related(self.part, "threadedComment"):
            lines += _comments(package, target, "threadedComment")
        for target in package.find_related(self.part, "comments"):
            found = _comments(package, target, "comment")
            lines += [line for line in found if _THREAD not in line]
        for target in package.find_related(self.part, "drawing"):
            lines += _drawing_lines(package, target)
        kinds = [kind for kind, _ in package.relations(self.part).values()]
        package.left_out["embedded objects"] += sum(k in ("oleObject", "package") for k in kinds)
        return [clean_characters(line) for line in lines]


def _comments(package: Package, part: str, name: str) -> list[str]:
    lines, root = list[str](), package.read(part)
    for comment in find_all(root, name) if root is not None else ():
        texts = ("".join(t.itertext()) for t in comment if local_name(t) == "text")
        text = " ".join(" ".join(texts).split())
        if text:
            lines.append(f"[Comment on {get_attribute(comment, 'ref')}: {text}]")
    return lines


def _drawing_lines(package: Package, part: str) -> Iterator[str]:
    root = package.read(part)
    relations = package.relations(part)
    for element in find_all(root, *_DRAWN) if root is not None else ():
        name = local_name(element)
        if _is_fallback(element):
            continue
        if name == "contentPart":
            package.left_out["handwriting"] += 1
        elif name == "sp":
            yield from drawing_paragraphs(element)
        elif name == "chart":
            _, target = relations.get(get_attribute(element, "id") or "", ("", ""))
            chart = package.read(target) if target else None
            yield from chart_lines(chart) if chart is not None else ()
        else:
            words = next((e.get("descr") for e in find_all(element, "cNvPr")), None)
            if words and words.strip():
                yield f"[Image: {' '.join(words.split())}]"
            else:
                package.left_out["pictures without a description"] += 1


def _is_fallback(element: etree._Element) -> bool:
    """Tell whether an element stands for what is read, in programs that do not know that."""
    for parent in element.iterancestors():
        if local_name(parent) == "Fallback":
            choice = find_child(parent.getparent(), "Choice")
            return choice is not None and any(True for _ in find_all(choice, *_DRAWN))
    return False


def _shared_strings(package: Package) -> list[str]:
    parts = package.find_related(package.main, "sharedStrings")
    strings: list[str] = []
    for part in parts[:1]:
        if part not in package.archive.namelist():
            continue
        with package.archive.open(part) as stream:
            events = etree.iterparse(
                stream, ("end",), tag="{*}si", recover=True, huge_tree=True, resolve_entities=False
            )
            for _, entry in events:
                strings.append(rich_text(entry))
                entry.clear()
                while entry.getprevious() is not None:
                    del entry.getparent()[0]
    return strings


def _sheet_pages(sheet: _Sheet, first: int) -> Iterator[Page]:
    last = None
    for page in slice_rows(sheet.rows(), sheet.name, first):
        if last is not None:
            yield last
        last = page
    beside = sheet.lines_beside()
    if last is not None:
        text = "\n".join([last.text, *beside])
        yield Page(last.index, None, text, last.section)
    elif beside:
        yield Page(first, None, "\n".join([f"[Sheet {sheet.name}]", *beside]), sheet.name)


def parse_xlsx(data: bytes, job: ParseJob) -> ParseResult:
    """Read the sheets in order, with values as they were last computed."""
    package = open_package(data, job.options.limits.expanded, "xl/workbook.xml")
    with package.archive:
        if package.main.endswith(".bin") or "xl/workbook.bin" in package.archive.namelist():
            return ParseResult("unsupported", remedy=_BINARY)
        root = package.read(package.main)
        if root is None:
            raise ValueError(f"{package.main} is missing or damaged")
        cells = CellReader.load(package, root, _shared_strings(package))
        relations, hidden, count, lines = package.relations(package.main), list[str](), 0, 0
        sheets = find_child(root, "sheets")
        entries = list(sheets) if sheets is not None else []
        for number, entry in enumerate(entries, 1):
            keys = [str(v) for v in entry.attrib.values() if str(v) in relations]
            if not keys:
                continue
            name = entry.get("name") or ""
            if entry.get("state") in ("hidden", "veryHidden"):
                hidden.append(name)
            sheet, before = _Sheet(package, cells, name, relations[keys[0]][1]), count
            for page in _sheet_pages(sheet, count + 1):
                job.emit(page)
                count = page.index
            lines += sheet.hidden
            if count == before and relations[keys[0]][0] == "chartsheet":
                package.left_out[f"chart sheets ({name})"] += 1
            job.report_progress(number, len(entries))
        title, metadata = package.metadata()
        warnings = package.warnings()
    named = [f"formulas without a stored value, not read: {cells.uncomputed}"]
    named += [f"hidden sheets, read: {', '.join(hidden)}"] if hidden else []
    named += [f"hidden rows or columns, read: {lines}"] if lines else []
    warnings = (*named[0 if cells.uncomputed else 1 :], *warnings)
    if not count:
        return ParseResult("empty", 1, title, metadata, warnings, _EMPTY)
    return ParseResult("ok", count, title, metadata, warnings)
