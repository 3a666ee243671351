"""Reads Jupyter notebooks: cells and their text outputs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.html import parse_tree
from pace_integrations.documents.formats.html_walk import read_element
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.formats.text import clean_text, markdown_title
from pace_integrations.documents.types import LimitExceededError, ParseResult

_HEADING = re.compile(r"(#{1,6})[ \t]+(.+)")
_OBJECT = re.compile(r"<(?:[\w.]+ object|[^<>]* at 0x[0-9a-f]+)[^<>]*>")
_APPLICATION = re.compile("application/|javascript|json|pdf")
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")
_COLOR = re.compile("\x1b\\[[0-9;]*[A-Za-z]")
_EMPTY = "The notebook has no cells with text."


def _join_source(value: object) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _output_text(output: dict[str, Any], left_out: Counter[str]) -> str:
    kind = output.get("output_type")
    if kind == "stream":
        # What a program wrote over, as progress bars do, nobody sees.
        return _OVERWRITTEN.sub("", _join_source(output.get("text")).replace("\r\n", "\n"))
    if kind == "error":
        error = f"{output.get('ename')}: {output.get('evalue')}"
        trace = _COLOR.sub("", "\n".join(map(str, output.get("traceback") or ())))
        return trace if error in trace else f"{trace}\n{error}".strip()
    data = output.get("data") or output  # format 3 has no data between
    if any(str(name).startswith("image/") or name in ("png", "jpeg", "svg") for name in data):
        left_out["pictures among the outputs"] += 1
    kinds = ("text/markdown", "markdown", "text/plain", "text", "text/latex", "latex")
    texts = [text for kind in kinds if (text := _join_source(data.get(kind)))]
    # What Python calls an object that shows itself in another way says nothing of it.
    plain = next((text for text in texts if not _OBJECT.fullmatch(text.strip())), "")
    page = _join_source(data.get("text/html") or data.get("html"))
    # Tables come as HTML too, and better than in columns of spaces.
    if page.strip() and ("<table" in page or not plain):
        found = read_element(parse_tree(page))
        left_out.update(found.left_out)
        return found.writer.text() or plain
    if not plain and any(_APPLICATION.match(str(name)) for name in data):
        left_out["outputs that need a program to show them"] += 1
    return plain


def _make_blocks(cells: list[dict[str, Any]], left_out: Counter[str]) -> Iterator[Block]:
    for number, cell in enumerate(cells, 1):
        source = _join_source(cell.get("source") or cell.get("input"))
        if cell.get("attachments"):
            left_out["pictures in cells"] += len(cell["attachments"])
        if cell.get("cell_type") == "code":
            outputs = [_output_text(output, left_out) for output in cell.get("outputs") or ()]
            parts = [f"In [{number}]:", source]
            parts += [f"Out [{number}]:", *outputs] if any(outputs) else []
            yield Block(clean_text("\n".join(part.rstrip() for part in parts)) + "\n\n")
            continue
        if cell.get("cell_type") == "heading":  # format 3
            source = f"{'#' * min(6, int(cell.get('level') or 1))} {source}"
        found = _HEADING.match(source.strip())
        level, words = (len(found[1]), found[2].rstrip().rstrip("#").rstrip()) if found else (0, "")
        yield Block(clean_text(source) + "\n\n", level, clean_characters(words))


def parse_notebook(data: bytes, job: ParseJob) -> ParseResult:
    """Read Markdown and code cells in order, each code cell with its text outputs."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the notebook is larger than the limit of expanded bytes")
    notebook = json.loads(data)
    cells = notebook.get("cells")
    if cells is None:  # format 3
        cells = [
            cell for sheet in notebook.get("worksheets", ()) for cell in sheet.get("cells", ())
        ]
    left_out: Counter[str] = Counter()
    count, title = 0, None
    for page in split_sections(_make_blocks(cells, left_out)):
        title = title or markdown_title(page.text)
        job.emit(page)
        count = page.index
    warnings = tuple(f"{what}, not read: {number}" for what, number in left_out.items() if number)
    if not count:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    return ParseResult("ok", count, title, warnings=warnings)
