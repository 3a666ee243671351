"""The measurement of libraries runs, and one changed page costs one page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from checkpoints import save_tiny

from recipes.bench_library import main


def test_a_library_is_measured_by_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(save_tiny(tmp_path / "model", "llama"))
    sizes = ["--tokens", "8000", "16000", "--read", "10000", "--questions", "1", "--repeats", "1"]
    main(["--model", model, *sizes, "--pages", "20"])
    small, large, changed = capsys.readouterr().out.splitlines()
    rows = [json.loads(small), json.loads(large)]
    assert rows[0]["rate"] > 0
    assert rows[1]["rate"] == 0  # not read in advance
    assert rows[1]["pages"] > rows[0]["pages"]
    # A tiny model in float32: 4 layers, 2 heads, keys and values of 8 numbers.
    assert rows[0]["state_bytes"] == pytest.approx(4 * 2 * 2 * 8 * 4, rel=0.05)
    first, second = map(int, re.findall(r"(\d+) tokens", changed))
    assert 0 < second < first / 15
