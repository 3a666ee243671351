"""Reads Excel workbooks: sheets in slices of rows, each with the header row."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any, TypeAlias

import openpyxl

from pace_integrations.documents.formats.archives import get_attribute, local_name
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.csv_table import slice_rows
from pace_integrations.documents.formats.ooxml import Package, find_all, open_package
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.types import Page, ParseResult

_Sheet: TypeAlias = Any  # of openpyxl, which has no types

_EMPTY = "The workbook holds no cells with values; open it, let it compute, and save it."
_DECIMALS = re.compile(r"0(?:\.(0+))?")
_QUOTED = re.compile(r"\"[^\"]*\"|\\.|\[[^\[\]]*\]")
_MAX_BLANK = 1_000  # rows in a row without a value, after which a sheet ends


def format_value(value: object, number_format: str = "General") -> str:
    """Return a value as the sheet shows it, about: dates, percent, decimals, thousands."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time(0)
        return value.date().isoformat() if midnight else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if not isinstance(value, int | float):
        return str(value)
    shown = _QUOTED.sub("", number_format.split(";")[0])
    percent = "%" in shown
    number = value * 100 if percent else value
    decimals = _DECIMALS.search(shown)
    if shown == "General" or decimals is None or "E" in shown or "/" in shown:
        text = f"{number:.15g}" if isinstance(number, float) else str(number)
    else:
        places = len(decimals[1] or "")
        text = f"{number:,.{places}f}" if "," in shown else f"{number:.{places}f}"
    return f"{text}%" if percent else text


def _walk_rows(sheet: _Sheet) -> Iterator[list[str]]:
    """Yield the rows of a sheet up to the last one with a value."""
    blank = 0
    for row in sheet.iter_rows():
        filled = [
            (cell.value, cell.number_format) if cell.value is not None else None for cell in row
        ]
        cells = [format_value(*cell) if cell is not None else "" for cell in filled]
        if not any(cells):
            blank += 1
            if blank > _MAX_BLANK:
                return
            continue
        yield from ([] for _ in range(blank))
        blank = 0
        yield cells


def _sheet_parts(package: Package) -> dict[str, str]:
    """Return the parts of the sheets by their names."""
    root = package.read(package.main)
    relations = package.relations(package.main)
    parts = {}
    for sheet in find_all(root, "sheet") if root is not None else ():
        keys = [str(value) for value in sheet.attrib.values() if str(value) in relations]
        if keys:
            parts[sheet.get("name") or ""] = relations[keys[0]][1]
    return parts


def _comments(package: Package, part: str) -> list[str]:
    lines = []
    for target in package.find_related(part, "comments"):
        root = package.read(target)
        for comment in find_all(root, "comment") if root is not None else ():
            texts = ("".join(t.itertext()) for t in comment if local_name(t) == "text")
            text = " ".join(clean_characters(" ".join(texts)).split())
            if text:
                lines.append(f"[Comment on {get_attribute(comment, 'ref')}: {text}]")
    return lines


def _count_drawings(package: Package, part: str) -> None:
    for target in package.find_related(part, "drawing"):
        for kind, _ in package.relations(target).values():
            if kind in ("chart", "image"):
                package.left_out["charts" if kind == "chart" else "pictures"] += 1


def _sheet_pages(sheet: _Sheet, package: Package, part: str | None, first: int) -> Iterator[Page]:
    comments = _comments(package, part) if part else []
    pages = list(slice_rows(_walk_rows(sheet), sheet.title, first))
    if comments and pages:
        pages[-1] = replace(pages[-1], text="\n".join([pages[-1].text, *comments]))
    elif comments:
        pages = [Page(first, None, "\n".join([f"[Sheet {sheet.title}]", *comments]), sheet.title)]
    yield from pages


def parse_xlsx(data: bytes, job: ParseJob) -> ParseResult:
    """Read the sheets in order, with values as they were last computed."""
    package = open_package(data, job.options.limits.expanded, "xl/workbook.xml")
    with package.archive:
        parts, count, hidden = _sheet_parts(package), 0, list[str]()
        workbook = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True)
        for number, sheet in enumerate(workbook.worksheets, 1):
            part = parts.get(sheet.title)
            if sheet.sheet_state != "visible":
                hidden.append(sheet.title)
            if part is not None:
                _count_drawings(package, part)
            for page in _sheet_pages(sheet, package, part, count + 1):
                job.emit(page)
                count = page.index
            job.report_progress(number, len(workbook.worksheets))
        unsaved = _count_uncomputed(package, parts)
        workbook.close()
        title, metadata = package.metadata()
        warnings = package.warnings()
    if hidden:
        warnings = (f"hidden sheets, read: {', '.join(hidden)}", *warnings)
    if unsaved:
        warnings = (f"formulas without a stored value, not read: {unsaved}", *warnings)
    if not count:
        return ParseResult("empty", 1, title, metadata, warnings, _EMPTY)
    return ParseResult("ok", count, title, metadata, warnings)


def _count_uncomputed(package: Package, parts: dict[str, str]) -> int:
    """Count the cells with a formula and no value, as programs write that compute nothing."""
    count = 0
    for part in parts.values():
        try:
            data = package.archive.read(part)
        except KeyError:
            continue
        count += len(re.findall(rb"</(?:\w+:)?f>\s*(?:<(?:\w+:)?v\s*/>\s*)?</(?:\w+:)?c>", data))
        count += len(re.findall(rb"</(?:\w+:)?f>\s*<(?:\w+:)?v></(?:\w+:)?v>", data))
    return count
