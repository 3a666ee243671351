"""Cuts text without pages into sections that a person can find: the path of headings over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pace_integrations.documents.formats.table_rows import find_header
from pace_integrations.documents.types import Page

TARGET = 6_000
"""Characters of a section, about: some two printed pages. Shorter files stay in one piece."""

_MAX = 9_000
_PATH = 160
_BREAKS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?。！？])\s*"),
    re.compile(r"\s"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """Text that stands together.

    Attributes:
        text: The text, its heading included; line ends at its end are kept.
        level: Level of the heading that it begins with, from 1, or 0 where it has none.
        heading: The heading's words.
        label: Page number that is printed where it begins, or None.
    """

    text: str
    level: int = 0
    heading: str = ""
    label: str | None = None


def format_path(headings: Iterable[str]) -> str | None:
    """Return a path of headings as one line: ``A > B``."""
    return " > ".join(h for h in headings if h)[:_PATH] or None


def split_long(
    text: str, limit: int = _MAX, target: int = TARGET, *, tables: bool = True
) -> Iterator[str]:
    """Yield a text in parts of bounded size: cut at paragraphs, lines, sentences or spaces.

    Args:
        text: The text.
        limit: Most characters of a part.
        target: Characters of a part, about.
        tables: Whether a table that is cut keeps its header row with every part.
    """
    start, header = 0, ""
    while len(text) - start > limit:
        end = start + target
        for pattern in _BREAKS:
            found = [m.end() for m in pattern.finditer(text, start + target // 2, start + limit)]
            if found:
                end = min(found, key=lambda place: abs(place - start - target))
                break
        yield header + text[start:end]
        if tables:
            header = find_header(text[start:end], text[end : end + target], header)
        start = end
    yield header + text[start:]


def split_sections(blocks: Iterable[Block], *, tables: bool = True) -> Iterator[Page]:
    """Yield blocks as pages of about `TARGET` characters, each with its path of headings.

    A page is closed at a heading once it is long enough, so that small sections stay together, and
    inside a block only where the block alone is too long. The section of a page is the path at its
    start; one that holds several sections of a level is named by the first. A table that is cut
    keeps its header row with every page.
    """
    path: list[tuple[int, str]] = []
    index, body = 0, ""
    section: str | None = None
    for block in blocks:
        if block.level:
            path = [(level, words) for level, words in path if level < block.level]
            path.append((block.level, block.heading))
        here = format_path(words for _, words in path)
        full = len(body) + len(block.text) > TARGET and len(body) > TARGET // 3
        if body.strip() and full:
            index += 1
            yield Page(index, None, body.strip("\n").rstrip(), section)
            body = find_header(body, block.text) if tables and not block.level else ""
            section = here
        if not body.strip():
            section = here
        body += block.text
        if len(body) > _MAX:
            *parts, body = split_long(body, tables=tables)
            for part in parts:
                index += 1
                yield Page(index, None, part.strip("\n").rstrip(), section)
            section = here
    if body.strip():
        yield Page(index + 1, None, body.strip("\n").rstrip(), section)
