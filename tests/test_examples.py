"""Every example runs as it stands, with the embedded model and without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from shown import run

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert 5 <= len(EXAMPLES) <= 8


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 35


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of one framework about another package
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has loaded what they all need; a new one takes five seconds."""
    monkeypatch.chdir(ROOT)
    assert run(f"python {path}").strip()
