"""Reads PowerPoint presentations: a slide is a page."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from pace_integrations.documents.formats.archives import (
    find_all,
    find_child,
    get_attribute,
    local_name,
)
from pace_integrations.documents.formats.charts import chart_lines
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.markup_writer import format_row
from pace_integrations.documents.formats.ooxml import Package, drawing_paragraphs, open_package
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.types import Page, ParseResult

_LONGEST = 160
_TITLES = frozenset({"title", "ctrTitle"})
_SHAPES = frozenset({"sp", "grpSp", "graphicFrame", "pic"})
_COUNTERS = frozenset({"sldNum", "dt", "sldImg"})
_EMPTY = "The slides hold no text; if they are pictures, save them as PDF and turn on OCR."


def _placeholder(shape: etree._Element) -> str:
    mark = next(find_all(shape, "ph"), None)
    return "" if mark is None else get_attribute(mark, "type") or "body"


def _shape_lines(
    package: Package, tree: etree._Element, part: str, running: set[str]
) -> Iterator[str]:
    """Yield the lines of shapes in their order."""
    for shape in tree:
        name = local_name(shape)
        if name in _SHAPES and _is_hidden(shape):
            package.left_out["hidden shapes"] += 1
        elif name == "grpSp":
            yield from _shape_lines(package, shape, part, running)
        elif name == "AlternateContent":
            chosen = next((c for c in shape if len(c)), None)
            if chosen is not None:
                yield from _shape_lines(package, chosen, part, running)
        elif name == "sp":
            kind = _placeholder(shape)
            if kind in _COUNTERS:
                continue
            lines = list(drawing_paragraphs(shape)) or _describe_shape(shape)
            if kind == "ftr":  # on every slide; once is enough
                lines = [line for line in lines if line not in running]
                running.update(lines)
            yield from lines
        elif name == "graphicFrame":
            yield from _frame_lines(package, shape, part)
        elif name == "pic":
            yield from _picture_lines(package, shape)
        elif name == "contentPart":
            package.left_out["handwriting"] += 1


def _is_hidden(shape: etree._Element) -> bool:
    properties = next(find_all(shape, "cNvPr"), None)
    return properties is not None and properties.get("hidden") in ("1", "true")


def _describe_shape(shape: etree._Element) -> list[str]:
    properties = next(find_all(shape, "cNvPr"), None)
    text = " ".join((properties.get("descr") or "").split()) if properties is not None else ""
    return [f"[Image: {text}]"] if text else []


def _layout_lines(package: Package, part: str, running: set[str]) -> Iterator[str]:
    """Yield what the layout and the master of a slide show on it, once in a file."""
    layouts = package.find_related(part, "slideLayout")
    masters = [m for layout in layouts for m in package.find_related(layout, "slideMaster")]
    for target in (*layouts, *masters):
        root = package.read(target) if target not in running else None
        running.add(target)
        for shape in find_all(root, "sp") if root is not None else ():
            if not _placeholder(shape) and not _is_hidden(shape):
                lines = [line for line in drawing_paragraphs(shape) if line not in running]
                running.update(lines)
                yield from lines


def _frame_lines(package: Package, frame: etree._Element, part: str) -> Iterator[str]:
    for table in find_all(frame, "tbl"):
        for row in find_all(table, "tr"):
            cells = [
                "" if get_attribute(cell, "hMerge") or get_attribute(cell, "vMerge")
                else "\n".join(drawing_paragraphs(cell))
                for cell in row
                if local_name(cell) == "tc"
            ]  # fmt: skip
            yield from format_row(cells)
        return
    relations = package.relations(part)
    for element in find_all(frame, "chart", "relIds", "oleObj"):
        name = local_name(element)
        if name == "oleObj":
            package.left_out["embedded objects"] += 1
            continue
        key = get_attribute(element, "dm" if name == "relIds" else "id") or ""
        root = package.read(relations[key][1]) if key in relations else None
        if root is not None:
            yield from chart_lines(root) if name == "chart" else drawing_paragraphs(root)


def _picture_lines(package: Package, picture: etree._Element) -> Iterator[str]:
    properties = next(find_all(picture, "cNvPr"), None)
    text = (
        " ".join((get_attribute(properties, "descr") or "").split())
        if properties is not None
        else ""
    )
    if text:
        yield f"[Image: {text}]"
    else:
        package.left_out["pictures without a description"] += 1


def _find_title(tree: etree._Element) -> str:
    for shape in find_all(tree, "sp"):
        if _placeholder(shape) in _TITLES:
            return clean_characters(" ".join(drawing_paragraphs(shape)))[:_LONGEST]
    return ""


def _note_lines(package: Package, part: str) -> Iterator[str]:
    for target in package.find_related(part, "notesSlide"):
        root = package.read(target)
        for shape in find_all(root, "sp") if root is not None else ():
            if _placeholder(shape) not in _COUNTERS | {"hdr", "ftr"}:
                yield from (f"[Speaker note: {line}]" for line in drawing_paragraphs(shape))
    for target in package.find_related(part, "comments"):
        root = package.read(target)
        for comment in find_all(root, "cm") if root is not None else ():
            texts = ("".join(t.itertext()) for t in find_all(comment, "text", "txBody"))
            text = " ".join(" ".join(texts).split())
            if text:
                yield f"[Comment: {text}]"


def parse_pptx(data: bytes, job: ParseJob) -> ParseResult:
    """Read the slides in order, each with its notes and comments."""
    package = open_package(data, job.options.limits.expanded, "ppt/presentation.xml")
    with package.archive:
        root = package.read(package.main)
        if root is None:
            raise ValueError(f"{package.main} is missing or damaged")
        relations = package.relations(package.main)
        # A slide's attributes are `id` and `r:id`; only the latter is a relation.
        keys = [key for entry in find_all(root, "sldId") for key in entry.attrib.values()]
        parts = [relations[key][1] for key in map(str, keys) if key in relations]
        running, hidden, read = set[str](), list[int](), 0
        for index, part in enumerate(parts, 1):
            slide = package.read(part)
            tree = find_child(slide, "cSld", "spTree") if slide is not None else None
            if slide is None or tree is None:
                package.left_out["damaged slides"] += 1
                continue
            if slide.get("show") in ("0", "false"):
                hidden.append(index)
            lines = list(_shape_lines(package, tree, part, running))
            lines += _layout_lines(package, part, running)
            lines += _note_lines(package, part)
            text, title = clean_characters("\n".join(lines)), _find_title(tree)
            if text:
                read += 1
                section = f"slide {index}: {title}" if title else f"slide {index}"
                job.emit(Page(index, None, text, section))
            job.report_progress(index, len(parts))
        title_of_file, metadata = package.metadata()
        warnings = package.warnings()
    if hidden:
        warnings = (f"hidden slides, read: {', '.join(map(str, hidden))}", *warnings)
    if not read:
        return ParseResult("empty", len(parts), warnings=warnings, remedy=_EMPTY)
    return ParseResult("ok", len(parts), title_of_file, metadata, warnings)
