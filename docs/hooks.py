"""What the site takes from programs: the help of every command, and the colours of code."""

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
    """Puts the help of every command in the place of a mark."""
    return markdown.replace(MARK, "\n".join(sections())) if MARK in markdown else markdown


def on_post_build(config: Mapping[str, Any]) -> None:
    """Writes the style sheet that the classes of highlighted code belong to."""
    sheet = Path(config["site_dir"]) / "css" / "code.css"
    sheet.write_text(HtmlFormatter().get_style_defs(".highlight"), encoding="utf-8")


def sections() -> Iterator[str]:
    """A section for each command: its name and what its ``--help`` prints."""
    from pace_integrations.cli import app

    for words, command in commands(typer.main.get_command(app), ("pace",)):
        yield f"## {' '.join(words)}\n\n```console\n$ {' '.join(words)} --help\n"
        yield f"{help_of(command, words)}```\n"


def commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and those below it."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def help_of(command: click.Command, words: tuple[str, ...]) -> str:
    """What ``--help`` prints in a terminal of fixed width."""
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
