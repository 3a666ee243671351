"""Rows of tables as lines ``a | b``, and the header row that every slice of a table keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence

_YEAR = re.compile(r"(?:1[6-9]|20|21)\d\d")
_RULE = re.compile(r"\|?[\s:|+-]+[|+][\s:|+-]*")
_GRID = re.compile(r"\+?[-=]{2,}(?:\+[-=]{2,})+\+?\s*|\+[-=]{2,}\+\s*")
_LONGEST = 600
_HEADER_LINES = 12
_FEWEST = 3  # rows that make a table


def is_header(cells: Sequence[str], following: Sequence[str] = ()) -> bool:
    """Tell whether a first row names the columns: most cells are filled in, and none is a number.

    Years may head columns, unless the row below has years in the same places.
    """
    filled = [(n, cell.strip()) for n, cell in enumerate(cells) if cell.strip()]
    if not filled or (len(filled) < max(2, len(cells) / 2) and len(cells) > 1):
        return False
    numbers = [n for n, cell in filled if _is_number(cell)]
    if len(numbers) == len(filled) or not all(_YEAR.fullmatch(cells[n].strip()) for n in numbers):
        return False
    below = [following[n].strip() for n in numbers if n < len(following)]
    return not numbers or not all(_YEAR.fullmatch(cell) for cell in below)


def count_header_rows(head: Sequence[Sequence[str]]) -> int:
    """Return how many of a table's first rows are its header: a title, and names of the columns.

    Args:
        head: The first rows.
    """
    filled = [sum(bool(cell.strip()) for cell in cells) for cells in head]
    below = next((n for n, count in enumerate(filled[:-1]) if count > 1), 0)
    for row in (below, 0):  # a title may stand over a list without names
        if head and is_header(head[row], *head[row + 1 : row + 2]):
            return row + 1
    return 0


def _is_number(cell: str) -> bool:
    return cell.strip("+-€$£%").replace(".", "").replace(",", "").replace(" ", "").isdigit()


def _split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _is_row(line: str) -> bool:
    return " | " in line or line.startswith("|") or bool(_GRID.fullmatch(line))


def _count_framed(rows: Sequence[str]) -> int:
    """Return how many lines are the header of a table that is drawn with frames, or 0."""
    rules = [n for n, row in enumerate(rows[:_HEADER_LINES]) if _GRID.fullmatch(row)]
    last = next((n for n in rules if "=" in rows[n]), 0)
    if not last and rules[1:2] == [2] and 4 not in rules:  # as databases draw it
        last = rules[1]
    return last + 1 if last else 0


def find_header(part: str, rest: str, before: str = "") -> str:
    """Return the header row of the table that a cut goes through, with its line end, or "".

    Args:
        part: The text before the cut.
        rest: The text after it.
        before: The header row of the table that the part itself goes on, or "".
    """
    lines = part.rstrip("\n").split("\n")
    if part.endswith("\n\n") or not _is_row(rest.split("\n", 1)[0]):
        return ""
    first = len(lines)
    while first > 0 and _is_row(lines[first - 1]):
        first -= 1
    if first == 0 and before:
        return before
    rows = lines[first:]
    if rows and _GRID.fullmatch(rows[0]):
        return "".join(f"{row}\n" for row in rows[: _count_framed(rows)])
    if len(rows) < _FEWEST or len(rows[0]) > _LONGEST:
        return ""
    ruled = bool(_RULE.fullmatch(rows[1]))
    if not ruled and not is_header(_split_row(rows[0]), _split_row(rows[1])):
        return ""
    return "\n".join(rows[: 2 if ruled else 1]) + "\n"
