"""Writes text as it reads: blocks on lines, lists with numbers, table rows as ``a | b``.

Shared by the readers of structured formats, which tell it what begins and ends. One state stands
for one thing: pending line ends, the open lists, the open tables and their cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.sectioning import Block

_LONG_CELL = 400
_MAX_CELLS = 250  # of a row that is filled up with blanks
_SPACES = re.compile(r"\s+")


def format_row(cells: list[str]) -> list[str]:
    """Return the lines of a table's row: one, or one for each cell where cells hold much text."""
    if any(len(cell) > _LONG_CELL and "\n" in cell for cell in cells):
        return [cell for cell in cells if cell.strip()]
    flat = [" ".join(cell.replace("\n", "; ").split()) for cell in cells]
    while flat and not flat[-1]:  # a bar at the end would seem to lead to the next row
        flat.pop()
    return [" ".join(" | ".join(flat).split())] if flat else []


@dataclass(slots=True)
class _Frame:
    """Text that is being written: the page's, or that of a cell."""

    parts: list[str] = field(default_factory=list)
    breaks: int = 2  # nothing before the first word
    prefix: str = ""  # of a list's item whose words have not come yet


@dataclass(slots=True)
class _Table:
    """A table that is being written.

    Attributes:
        cells: Cells of the row that is open.
        below: Rows below that a cell of the rows before still covers, by its column.
    """

    cells: list[str] = field(default_factory=list)
    below: dict[int, int] = field(default_factory=dict)

    def skip_covered(self) -> None:
        """Leave the places blank that a cell of a row above covers."""
        while self.below.get(len(self.cells), 0) > 0:
            self.below[len(self.cells)] -= 1
            self.cells.append("")

    def add_cell(self, text: str, columns: int, rows: int) -> None:
        """Add a cell, and blanks for the other places that it covers."""
        self.skip_covered()
        room = max(1, _MAX_CELLS - len(self.cells))
        for number in range(min(max(1, columns), room)):
            if rows > 1 and room > 1:
                self.below[len(self.cells)] = rows - 1
            self.cells.append("" if number else text)


class MarkupWriter:
    """Collects words and breaks; runs of spaces and breaks become one.

    Attributes:
        preformatted: Depth of elements whose line ends and spaces count.
    """

    def __init__(self) -> None:
        self._frames = [_Frame()]
        self._tables: list[_Table] = []
        self._marks: list[tuple[int, int, str, str | None]] = []
        self._ends: list[str] = []
        self.preformatted = 0

    @property
    def line(self) -> str:
        """Return the text of the line so far, as far as it was written in one piece."""
        parts = self._frames[-1].parts
        return parts[-1] if parts and not self._frames[-1].breaks else ""

    def write(self, text: str) -> None:
        """Add words; in running text a line end is a space."""
        frame = self._frames[-1]
        if not self.preformatted:
            text = _SPACES.sub(" ", text)
            if frame.breaks or (frame.parts and frame.parts[-1].endswith(" ")):
                text = text.lstrip()
        if not text:
            return
        if frame.prefix and text.strip():
            text, frame.prefix = frame.prefix + text, ""
        frame.parts.append(text)
        frame.breaks = 0

    def end_line(self, count: int = 1) -> None:
        """End the line; with 2, the paragraph."""
        frame = self._frames[-1]
        if frame.breaks < count:
            frame.parts.append("\n" * (count - frame.breaks))
            frame.breaks = count

    def start_item(self, mark: str) -> None:
        """Begin an item of a list; its mark is written with its first words."""
        self.end_line()
        self._frames[-1].prefix = mark

    def end_item(self) -> None:
        """End an item; one without words leaves nothing."""
        self._frames[-1].prefix = ""
        self.end_line()

    def start_table(self) -> None:
        """Begin a table."""
        self.end_line(2 if len(self._frames) == 1 else 1)
        self._tables.append(_Table())

    def start_cell(self) -> None:
        """Begin a cell of the row that is open."""
        self._frames.append(_Frame())

    def end_cell(self, columns: int = 1, rows: int = 1) -> None:
        """End a cell; one over several columns or rows comes once, and the others are blank."""
        if len(self._frames) > 1:
            text = clean_characters("".join(self._frames.pop().parts))
            if self._tables:
                self._tables[-1].add_cell(text, columns, rows)
            elif text:  # a cell outside of any table is text like any other
                self._write_raw(f" | {text}" if self.line.strip() else text)

    def end_row(self) -> None:
        """End a row and write it."""
        if self._tables:
            table = self._tables[-1]
            if table.cells:
                table.skip_covered()
            cells, table.cells = table.cells, []
            for line in format_row(cells):
                self.end_line()  # words between the cells, where a file has any
                self._write_raw(line)
                self.end_line()
        else:
            self.end_line()

    def end_table(self) -> None:
        """End a table."""
        if self._tables:
            self.end_row()
            self._tables.pop()
            self.end_line(2 if len(self._frames) == 1 else 1)

    def _write_raw(self, text: str) -> None:
        frame = self._frames[-1]
        if text:
            text, frame.prefix = frame.prefix + text, ""
            frame.parts.append(text)
            frame.breaks = 0

    def mark_heading(self, level: int) -> None:
        """Tell that a heading of a level begins; `end_heading` gives its words."""
        self.end_line(2)
        if len(self._frames) == 1:
            self._marks.append((len(self._frames[0].parts), level, "", None))

    def end_heading(self) -> None:
        """Tell that the heading ends."""
        if len(self._frames) == 1 and self._marks and self._marks[-1][1]:
            start, level, _, label = self._marks[-1]
            words = " ".join(clean_characters("".join(self._frames[0].parts[start:])).split())
            self._marks[-1] = (start, level, words, label)
        self.end_line(2)

    def mark_page(self, label: str) -> None:
        """Tell that a printed page begins here."""
        if len(self._frames) == 1:
            self._marks.append((len(self._frames[0].parts), 0, "", label))

    def blocks(self) -> Iterator[Block]:
        """Yield what was written, cut at headings and printed pages, in clean characters."""
        while len(self._frames) > 1:  # cells that were never closed
            self.end_cell()
            self.end_row()
        parts = self._frames[0].parts
        marks = [(0, 0, "", None), *self._marks, (len(parts), 0, "", None)]
        for (start, level, words, label), (end, _, _, _) in pairwise(marks):
            text = clean_characters("".join(parts[start:end]))
            if text or label is not None:
                yield Block(f"{text}\n\n" if text else "", level if words else 0, words, label)

    def text(self) -> str:
        """Return all that was written, in clean characters."""
        return "".join(block.text for block in self.blocks()).strip()
