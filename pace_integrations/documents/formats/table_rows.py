"""Rows of tables as lines ``a | b``, and the header row that every slice of a table keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence

_YEAR = re.compile(r"(?:1[6-9]|20|21)\d\d")
_RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*")
_LONGEST = 600
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


def _is_number(cell: str) -> bool:
    return cell.strip("+-€$£%").replace(".", "").replace(",", "").replace(" ", "").isdigit()


def _split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _is_row(line: str) -> bool:
    return " | " in line or line.startswith("|")


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
    if len(rows) < _FEWEST or len(rows[0]) > _LONGEST:
        return ""
    ruled = bool(_RULE.fullmatch(rows[1]))
    if not ruled and not is_header(_split_row(rows[0]), _split_row(rows[1])):
        return ""
    return "\n".join(rows[: 2 if ruled else 1]) + "\n"
