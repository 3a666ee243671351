"""The pages of the site do what they show, and the site is built without a warning or a network."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from shown import ROOT, execute, in_markdown, papers, run

from pace_integrations.cli import app

DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "pages").rglob("*.md"))
GUIDES = [page for page in papers() if page.suffix == ".md" and list(in_markdown(page.read_text()))]
# Names that a package takes from a lower layer.
OUTSIDE: dict[str, list[str]] = {
    "": [],
    ".langchain": [],
    ".llama_index": [],
    ".server": [],
    ".memory": ["default_layers"],
    ".experts": [],
    ".ahn": [],
}
PAPERS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "recipes/README.md"]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_page_prints_what_it_shows(page: Path, workplace: Path) -> None:
    names: dict[str, object] = {"__name__": "shown"}
    blocks = list(in_markdown(page.read_text(encoding="utf-8")))
    assert blocks
    for shown in blocks:
        now = run(shown.source) if shown.kind == "console" else execute(shown.source, names)
        assert shown.agrees(now), f"{shown.source}\n{now}"
        assert shown.output or not now or shown.kind == "console", f"not shown: {now}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CONTRIBUTING says, in a process that cannot reach any address."""
    folder = tmp_path_factory.mktemp("site")
    code = "import pytest_socket, mkdocs.__main__ as m; pytest_socket.disable_socket(); m.cli()"
    options = ["build", "--strict", "-f", str(DOCS / "mkdocs.yml"), "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_has_every_page_and_nothing_from_elsewhere(site: Path) -> None:
    for page in PAGES:
        html = (site / page.relative_to(DOCS / "pages")).with_suffix(".html").read_text("utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', html), page


@pytest.mark.parametrize(
    "module", ["", ".langchain", ".llama_index", ".server", ".memory", ".experts", ".ahn"]
)
def test_the_reference_has_what_a_package_offers(module: str, site: Path) -> None:
    text = "".join(page.read_text("utf-8") for page in (site / "api").glob("*.html"))
    package = f"pace_integrations{module}"
    names = set(importlib.import_module(package).__all__) - {"__version__"}
    inside = re.escape(package) if module else "pace_integrations"
    assert [n for n in names if not re.search(rf'id="{inside}[\w.]*\.{n}"', text)] == OUTSIDE[
        module
    ]


def commands(
    command: click.Command, words: tuple[str, ...] = ("pace",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_help_shown_is_the_help_given() -> None:
    hook = runpy.run_path(str(DOCS / "hooks.py"))["on_page_markdown"]
    helps = list(in_markdown(hook((DOCS / "pages/cli.md").read_text("utf-8"))))
    assert [tuple(h.source.split())[:-1] for h in helps] == list(COMMANDS)
    for shown in helps:
        assert shown.agrees(run(shown.source)), shown.source


def spoken() -> Iterator[str]:
    """Every ``pace`` command in blocks and text of papers, in docstrings and in messages."""
    for module in (ROOT / "pace_integrations").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        yield from re.findall(r"[`'](pace [a-z-]+ [^`'\n{]*)[`']", text)
    for paper in PAPERS:
        text = paper.read_text(encoding="utf-8")
        lines = re.findall(r"(?:^|[$/;&] ?)(pace [a-z-]+ .*)$", text, re.M)
        yield from (part for line in lines for part in re.split(r" && (?:\.venv/bin/)?", line))
        yield from re.findall(r"`(pace [a-z-]+(?: [^`\n]*)?)`", text)


def test_every_command_that_is_spoken_of_exists_with_its_options() -> None:
    said = list(spoken())
    assert len(said) >= 5
    for line in said:
        words = shlex.split(line)
        path = tuple(words[:3]) if tuple(words[:3]) in COMMANDS else tuple(words[:2])
        command = COMMANDS[path]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{line}: {used - known}"


def test_every_recipe_that_is_spoken_of_exists() -> None:
    spoken = r"python (?:-m recipes\.|recipes/)(\w+)"
    said = {name for paper in PAPERS for name in re.findall(spoken, paper.read_text("utf-8"))}
    folders = {path.parent.name for path in (ROOT / "recipes").glob("*/__main__.py")}
    there = {path.stem for path in (ROOT / "recipes").glob("*.py")} | folders
    assert len(said) >= 20
    assert said <= there
