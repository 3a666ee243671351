"""Imports point strictly downwards, and importing the package loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pace_integrations

ROOT = Path(pace_integrations.__file__).parent
LAYERS = [
    {
        "errors",
        "config",
        "answer",
        "_memory_rules",
        "_files",
        "_paths",
        "_text",
        "_checks",
        "_lazy",
        "_renamed",
    },
    {"feed_forward", "_plots", "_bm25"},
    {"ahn", "documents", "memory", "experts"},
    {"model", "store"},
    {"session"},
    {"library"},
    {"adapters", "evaluation"},
    {"langchain", "llama_index", "server"},
    {"ray"},
    {"cli"},
    {"entry"},
]
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
# `config` validates with errors and the rules that there are; no other neighbors may meet.
ALLOWED = {
    ("config", "errors"),
    ("config", "_memory_rules"),
    ("config", "_checks"),
    ("_checks", "errors"),
    ("_lazy", "_renamed"),
    ("config", "_renamed"),
}


def unit_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def own_imports(path: Path) -> set[str]:
    """Top-level units of this package that a module imports, for types only or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pace_integrations.")}
    return found - {"__version__"}


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_point_strictly_downwards(path: Path) -> None:
    unit = unit_of(path)
    if unit == "__init__":
        return  # the top level names everything, lazily
    assert unit in LEVEL, f"{unit} has no layer: give it one here and in the design"
    for other in own_imports(path) - {unit}:
        assert LEVEL[other] < LEVEL[unit] or (unit, other) in ALLOWED, f"{path}: imports {other}"


def test_the_layer_check_sees_an_upward_import(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text("from pace_integrations.session import Pace\nimport pace_integrations.cli\n")
    assert own_imports(module) == {"session", "cli"}


def test_import_is_light() -> None:
    probe = (
        "import sys, pace_integrations; "
        "print([m for m in ('torch', 'transformers', 'langchain_core', 'llama_index', 'pypdf', "
        "'typer', 'ray', 'fsspec') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch() -> None:
    probe = "import sys, pace_integrations.entry; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
