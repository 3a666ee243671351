"""Writes the table of formats into the guide about files, and sections for new ones.

    python -m recipes.list_formats

What is read of each format, and what is only named in the report, stands in the format's row of
``pace_integrations/documents/formats/registry.py``. A format without a section in the
guide of formats gets one from its row, to be told at more length by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

from pace_integrations.documents.formats import registry

GUIDE = Path(__file__).resolve().parents[1] / "docs/pages/guides/files.md"
SECTIONS = GUIDE.with_name("formats.md")
_MARKED = re.compile(r"(<!-- formats -->\n).*?(<!-- end of formats -->)", re.DOTALL)
_MAX_SUFFIXES = 8


def format_named(row: registry.Format) -> str:
    """Return the kinds of what the report names of a format, first what is not read."""
    parts = [row.names_only] if row.names_only else []
    parts += [f"read, and named: {row.names_too}"] if row.names_too else []
    return "; ".join(parts) or "nothing"


def format_table() -> str:
    """Return the formats as a Markdown table."""
    lines = ["| format | files | what is read | what the report names |", "|---|---|---|---|"]
    for row in registry.FORMATS:
        shown = " ".join(f"`{suffix}`" for suffix in row.suffixes[:_MAX_SUFFIXES])
        more = " and more" if len(row.suffixes) > _MAX_SUFFIXES else ""
        lines.append(f"| {row.name} | {shown}{more} | {row.reads} | {format_named(row)} |")
    return "\n".join(lines)


def add_sections(text: str) -> str:
    """Return the guide of formats with a section for every row, in the table's order."""
    head, *parts = re.split(r"(?m)^(?=## )", text)
    told = {part.splitlines()[0].removeprefix("## "): part for part in parts}
    for row in registry.FORMATS:
        made = f"## {row.name}\n\n- **Read:** {row.reads}.\n- **Named:** {format_named(row)}.\n"
        head = f"{head.rstrip()}\n\n{told.get(row.name, made)}"
    return f"{head.rstrip()}\n"


def main() -> None:
    """Write the table between its marks, and the sections that are missing."""
    text = GUIDE.read_text(encoding="utf-8")
    table = format_table()
    GUIDE.write_text(_MARKED.sub(lambda m: f"{m[1]}{table}\n{m[2]}", text), encoding="utf-8")
    SECTIONS.write_text(add_sections(SECTIONS.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(registry.FORMATS)} formats in {GUIDE.name}")


if __name__ == "__main__":
    main()
