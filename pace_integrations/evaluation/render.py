"""A report's parts as Markdown and as one HTML file. Knows nothing of what they say."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .6rem; text-align: left }
img { max-width: 100% } code { background: #eee; padding: .1rem .3rem }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the report's title."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A line to be typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row is as long as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture beside the report."""

    file: str
    about: str


Part = Heading | Text | Code | Table | Image


def markdown(parts: Iterable[Part]) -> str:
    """Render the parts as Markdown; pictures are links to files beside it."""
    return "\n\n".join(_markdown(part) for part in parts) + "\n"


def html(parts: Sequence[Part], folder: Path) -> str:
    """Render the parts as one HTML file with its pictures inside.

    Args:
        parts: The report; its first heading is the title.
        folder: Where the pictures are.
    """
    title = next((p.text for p in parts if isinstance(p, Heading)), "report")
    body = "\n".join(_html(part, folder) for part in parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _markdown(part: Part) -> str:
    match part:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Text(text):
            return text
        case Code(text):
            return f"```bash\n{text}\n```"
        case Image(file, about):
            return f"![{about}]({file})"
        case Table(header, rows):
            lines = [header, ["---"] * len(header), *rows]
            return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _html(part: Part, folder: Path) -> str:
    match part:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Code(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case Image(file, about):
            data = base64.b64encode((folder / file).read_bytes()).decode()
            return f'<p><img alt="{escape(about)}" src="data:image/png;base64,{data}"></p>'
        case Table(header, rows):
            head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
            body = "".join(f"<tr>{''.join(_td(cell) for cell in row)}</tr>\n" for row in rows)
            return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _td(cell: str) -> str:
    return f"<td>{escape(cell)}</td>"


def _cell(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
