"""Text of a Rich Text file while it is read: paragraphs and rows, and what holds within a group."""

from __future__ import annotations

from dataclasses import dataclass, field

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.markup_writer import format_row

_TAIL = 8  # pieces that tell what raised text stands behind


@dataclass(slots=True)
class Flow:
    """Text that belongs together: the document's, a note's, a header's.

    Attributes:
        parts: The paragraph, or the cell, that is being read, in pieces.
        after: Lines that follow it: notes, comments, text boxes.
    """

    kind: str = ""
    parts: list[str] = field(default_factory=list)
    lines: list[tuple[str, int]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    def tail(self) -> str:
        """Return the last characters of the paragraph."""
        return "".join(self.parts[-_TAIL:])

    def _take(self) -> str:
        text, self.parts = "".join(self.parts), []
        return text

    def end_paragraph(self, level: int = 0) -> None:
        """End the paragraph, and a row that was left open."""
        if self.cells:
            self.end_row()
        self.lines.append((self._take(), level))
        self.lines += [(line, 0) for line in self.after]
        self.after = []

    def end_cell(self) -> None:
        """End a cell of a table's row."""
        self.cells.append("\n".join([self._take().strip("\n"), *self.after]).strip("\n"))
        self.after = []

    def end_row(self) -> None:
        """End a row."""
        cells, self.cells = [clean_characters(cell) for cell in self.cells], []
        self.lines += [(line, 0) for line in format_row(cells)]

    def flat(self) -> str:
        """Return all of it on one line."""
        self.end_paragraph()
        return " ".join(" ".join(clean_characters(line) for line, _ in self.lines).split())


@dataclass(slots=True)
class State:
    """What holds within a group, and for the groups in it.

    Attributes:
        skip: How many of the signs after a Unicode character only stand for it.
    """

    flow: Flow
    skipped: bool = False
    hidden: str = ""
    position: str = ""
    struck: bool = False
    font: int = -1
    skip: int = 1
    in_table: bool = False
    level: int = 0


@dataclass(frozen=True, slots=True)
class Font:
    """How the bytes of a font are encoded: its character set, or its code page."""

    charset: int | None = None
    page: int | None = None
