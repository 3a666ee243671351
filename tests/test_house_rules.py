"""The size of modules and functions, links between papers, and what docstrings say of commands."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ("pace_integrations", "recipes", "examples", "docs")
MODULES = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py"))

# Longer than the house allows, and why.
LONG_MODULES = {
    "recipes/train_nano/compose.py": "how a row of training is made, from start to end",
}
LONG_FUNCTIONS = {
    "pace_integrations/cli/app.py:ask": "Typer wants every option as a parameter",
    "pace_integrations/cli/app.py:chat": "Typer wants every option as a parameter",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of a module and their lines, docstrings and all."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield f"{name_of(path)}:{node.name}", node.end_lineno - node.lineno + 1


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {name for name, lines in lengths.items() if lines > 300} <= set(LONG_MODULES)


def test_no_function_is_longer_than_60_lines() -> None:
    long = {name for path in MODULES for name, lines in functions(path) if lines > 60}
    assert long <= set(LONG_FUNCTIONS)


def slug(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Links of a Markdown file to files and headings: path and anchor."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            place, _, anchor = target.partition("#")
            yield place, anchor


def papers() -> list[Path]:
    """Markdown files of the repository."""
    found = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:  # an unpacked sdist is no repository
        hidden = {"docs"}
        paths = [p.relative_to(ROOT) for p in ROOT.rglob("*.md")]
        return [ROOT / p for p in paths if p.parts[0] in hidden or p.parts[0][0] != "."]
    return [ROOT / name for name in found.stdout.split("\0") if name]


@pytest.mark.parametrize("paper", papers(), ids=name_of)
def test_links_lead_somewhere(paper: Path) -> None:
    for place, anchor in links(paper):
        target = paper.parent / place if place else paper
        assert target.exists(), f"{name_of(paper)}: no {place}"
        # Anchors of the reference are made when the site is built, which checks them.
        if anchor and "api" not in target.parts:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in map(slug, headings), f"{name_of(paper)}: no #{anchor} in {place}"


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    paper = tmp_path / "a.md"
    paper.write_text("[a](b.md#c) [d](https://e.f)\n```\n[g](h)\n```\n", encoding="utf-8")
    assert list(links(paper)) == [("b.md", "c")]


DOCTESTED = [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", DOCTESTED, ids=name_of)
def test_examples_in_docstrings_give_what_they_show(path: Path) -> None:
    module = importlib.import_module(name_of(path).removesuffix(".py").replace("/", "."))
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)


COMMAND = re.compile(r"python -m (recipes\.\w+)((?: +(?:\\\n)?[^\s#`]+)*)")
WITH_COMMANDS = [
    path for path in MODULES if COMMAND.search(ast.get_docstring(ast.parse(path.read_text())) or "")
]


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=name_of)
def test_a_recipe_knows_the_options_that_its_docstring_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module, words in COMMAND.findall(ast.get_docstring(ast.parse(text)) or ""):
        place = ROOT / module.replace(".", "/")
        source = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        code = source.read_text(encoding="utf-8")
        for shared in re.findall(r"^from (recipes\.\w+) import", code, re.M):
            if (file := ROOT / f"{shared.replace('.', '/')}.py").exists():
                code += file.read_text(encoding="utf-8")
        for option in re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", words):
            assert f'"{option}"' in code, f"{module} {option}"
