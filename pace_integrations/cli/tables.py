"""Tables: for people, and as lines for programs, where a row is a line whatever its width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table

from pace_integrations.cli.texts import to_printable

if TYPE_CHECKING:
    from pace_integrations.answer import Answer, Citation


def format_table(table: Table) -> Iterator[str]:
    """Yield the title, the header, the rows and the caption of a table of texts."""
    if table.title:
        yield _flatten_cell(table.title)
    columns = [[_flatten_cell(cell) for cell in column.cells] for column in table.columns]
    if table.show_header:
        columns = [
            [_flatten_cell(column.header), *cells]
            for column, cells in zip(table.columns, columns, strict=True)
        ]
    widths = [max(map(cell_len, cells), default=0) for cells in columns]
    for row in zip(*columns, strict=True):
        cells = zip(row, widths, table.columns, strict=True)
        shown = (_pad_cell(cell, width, column.justify == "right") for cell, width, column in cells)
        yield "  ".join(shown).rstrip()
    if table.caption:
        yield _flatten_cell(table.caption)


def _pad_cell(cell: str, width: int, right: bool) -> str:
    blank = " " * (width - cell_len(cell))
    return blank + cell if right else cell + blank


def _flatten_cell(cell: object) -> str:
    return "; ".join(line.strip() for line in str(cell).splitlines())


def make_citation_table(citations: Sequence[Citation]) -> Table:
    """Return a table of citations with their quotes."""
    table = Table(show_edge=False, pad_edge=False, box=None)
    for title in ("", "document", "page", "found in the words"):
        table.add_column(title, overflow="fold")
    for c in citations:
        mark = f"[{c.passage}]" if c.method == "cited" else f"~[{c.passage}]"
        words = " ".join(c.quote.split()) if c.score else "(none of the answer's words)"
        # A text's first heading is often its title: once is enough.
        parts = dict.fromkeys(part for part in (c.document, c.section) if part)
        place = " · ".join(map(to_printable, parts))
        table.add_row(mark, place, _format_page(c), to_printable(words))
    return table


def _format_page(citation: Citation) -> str:
    label, index = citation.page_label, str(citation.page)
    return index if label in (None, index) else f"{to_printable(label)} ({index})"


def format_usage(answer: Answer) -> str:
    """Return the tokens and the times of an answer in a line."""
    usage, timings = answer.usage, answer.timings
    return (
        f"{usage.cached_tokens} tokens read before, {usage.output_tokens} written; "
        f"first after {timings.first_token:.2f} s, all after {timings.total:.2f} s"
    )
