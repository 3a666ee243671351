"""What the site takes from programs: the help of every command, and the colors of code."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import typer
from pygments.formatters import HtmlFormatter

MARK = "<!-- every command -->"
WIDTH = 88


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace a mark by the help of every command."""
    return markdown.replace(MARK, "\n".join(iter_sections())) if MARK in markdown else markdown


def on_post_build(config: Mapping[str, Any]) -> None:
    """Write the style sheet that the classes of highlighted code belong to."""
    sheet = Path(config["site_dir"]) / "css" / "code.css"
    sheet.write_text(HtmlFormatter().get_style_defs(".highlight"), encoding="utf-8")


def iter_sections() -> Iterator[str]:
    """Return a section for each command: its name and what its ``--help`` prints."""
    from pace_integrations.cli import app

    for words, command in iter_commands(typer.main.get_command(app), ("pace",)):
        yield f"## {' '.join(words)}\n\n```console\n$ {' '.join(words)} --help\n"
        yield f"{capture_help(command, words)}```\n"


def iter_commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and those below it."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from iter_commands(below, (*words, name))


def capture_help(command: click.Command, words: tuple[str, ...]) -> str:
    """Return what ``--help`` prints in a terminal of fixed width."""
    out, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(out):
            command.main(["--help"], prog_name=" ".join(words), standalone_mode=False)
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()
