"""Ranking by words starts no array library beside PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STARTS = """
import sys
{before}
from pace_integrations.library.selectors import RankedSelector
from pace_integrations._bm25 import BM25
index = BM25()
index.index([["red", "door"], ["blue", "gate"]], show_progress=False)
print(index.get_scores(["gate"]).argmax(), "jax" in sys.modules)
"""


@pytest.mark.parametrize(("before", "there"), [("", "False"), ("import jax", "True")])
def test_jax_is_not_started_for_it(tmp_path: Path, before: str, there: str) -> None:
    """Where the process has JAX already, it stays; bm25s then uses it, as its own default is."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax/__init__.py").write_text("started = True", encoding="utf-8")
    (tmp_path / "jax/lax.py").write_text("top_k = lambda scores, k: None", encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-c", STARTS.format(before=before)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == ["1", there]
