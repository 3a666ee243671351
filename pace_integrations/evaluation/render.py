"""A report's parts as Markdown and as one HTML file. Knows nothing of what they say."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pace_integrations.errors import MissingExtraError

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


def render_markdown(parts: Iterable[Part]) -> str:
    """Render the parts as Markdown; pictures are links to files beside it."""
    return "\n\n".join(_render_part(part) for part in parts) + "\n"


def render_html(parts: Sequence[Part], folder: Path) -> str:
    """Render the parts as one HTML file with its pictures inside.

    Args:
        parts: The report; its first heading is the title.
        folder: Where the pictures are.

    Raises:
        MissingExtraError: markdown-it-py is not installed.
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise MissingExtraError("the report as HTML", "eval") from error
    title = next((p.text for p in parts if isinstance(p, Heading)), "report")
    inlined = [_inline_image(part, folder) if isinstance(part, Image) else part for part in parts]
    body = MarkdownIt("js-default").render(
        render_markdown(inlined)
    )  # which escapes HTML in the text
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _inline_image(image: Image, folder: Path) -> Image:
    """Return an image whose file is its own data."""
    data = base64.b64encode((folder / image.file).read_bytes()).decode()
    return Image(f"data:image/png;base64,{data}", image.about)


def _render_part(part: Part) -> str:
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
            return "\n".join(f"| {' | '.join(map(_escape_cell, line))} |" for line in lines)


def _escape_cell(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
