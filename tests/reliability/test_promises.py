"""Every promise of the documentation names a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pages/promises.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!promise \||---)(.+?) \| (.+?) \|$", PAGE, re.M)


def test_the_page_has_promises() -> None:
    assert len(ROWS) > 25


@pytest.mark.parametrize(("promise", "proof"), ROWS)
def test_a_promise_is_proved(promise: str, proof: str) -> None:
    named = re.fullmatch(r"`(tests/\S+\.py)::(\w+)`", proof)
    assert named, f"{promise}: {proof}"
    tree = ast.parse((ROOT / named[1]).read_text(encoding="utf-8"))
    assert named[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
