"""The benchmark's own arithmetic, and one run of it as small as it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from recipes.bench.cases import chunks, held, many, open_saved, precision, read, second_question
from recipes.bench.report import markdown

ROOT = Path(__file__).parents[2]


def test_the_report_has_medians_ranges_and_paired_ratios() -> None:
    runs = {
        "alone": [{"seconds": s, "texts": ["a", "b"]} for s in (4.0, 2.0, 8.0)],
        "together": [{"seconds": s, "texts": ["a", "c"]} for s in (1.0, 1.0, 1.0)],
    }
    text = markdown([{"case": "many", "tokens": 2048, "key": "seconds", "runs": runs}], "--pairs 3")
    assert "| alone | 4 (2 to 8) | 1 (1 to 1) |" in text
    assert "| together | 1 (1 to 1) | 0.25 (0.125 to 0.5) |" in text
    assert "1 of 2 answers are identical" in text


def test_every_kind_of_measurement_works() -> None:
    """On documents as short as they can be; the frameworks' arms need their packages and time."""
    together, alone = many("together", 600), many("one by one", 600)
    assert together["texts"] == alone["texts"]
    assert read("transformers", 600)["tokens per second"] > 0
    assert read("slotwise", 600)["cache MB"] == read("off", 600)["cache MB"]
    assert second_question("memory", 600)["first token, s"] > 0
    assert second_question("generate", 600)["first token, s"] > 0
    assert open_saved("open", 600)["seconds"] > 0
    assert held("int8", 600)["cache MB"] < 0.3 * held("full", 600)["cache MB"]
    assert chunks("256", 600)["seconds"] > 0
    assert set(precision("bfloat16", 600)) == set(precision("float32", 600))


def test_it_runs_and_writes_what_it_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recipes.bench", "--only", "limits", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == (tmp_path / "report.md").read_text().strip()
    (row,) = json.loads((tmp_path / "report.json").read_text())
    assert row["runs"]["machine"][0]["matrix rate, GFLOP/s"] > 1
