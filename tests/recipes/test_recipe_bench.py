"""The benchmark's own arithmetic, and one run of it as small as it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import save_tiny

from recipes.bench import __main__ as bench
from recipes.bench import integrations, measure, peers
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


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model in the place of pace-small."""
    model = save_tiny(tmp_path / "tiny", "llama", hidden_size=64)
    monkeypatch.setattr(peers, "MODEL", str(model))
    monkeypatch.setattr(integrations, "MODEL", str(model))
    return model


@pytest.mark.parametrize("arm", ["transformers", "off", "kv int8", "int4"])
def test_peers_give_every_figure(tiny: Path, arm: str) -> None:
    found = peers.peers(arm, 300)
    names = [*peers.KEYS] if arm != "transformers" else [k for k in peers.KEYS if "open" not in k]
    assert sorted(found) == sorted(names)
    assert all(isinstance(value, float) and value > 0 for value in found.values())


def test_a_peer_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_gguf", lambda: None)
    with pytest.raises(peers.MissingPeerError, match="GGUF"):
        peers.peers("llama.cpp", 300)
    found = {"off": {"seconds": 1.0}, "llama.cpp": {"missing": "it is not there"}}
    monkeypatch.setattr(bench, "measure", lambda case, arm, *_: found[arm])
    assert bench._runs("peers", ("off", "llama.cpp"), 300, 2, 1) == {"off": [found["off"]] * 2}


@pytest.mark.parametrize("arm", ["ask_many", "ChatPace", "PaceLLM"])
def test_every_face_answers_every_question(
    tiny: Path, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrations, "QUESTIONS", integrations.QUESTIONS[:3])
    monkeypatch.setattr(integrations, "ANSWER", 4)
    found = integrations.integrations(arm, 300)
    assert len(found["texts"]) == 3
    assert found["seconds"] > 0


def test_packed_weights_answer_the_same_questions(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"title": name, "text": f"The {name} is green.", "asked": [[f"Where is the {name}?"]]}
        for name in ("oak", "gate", "lamp")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(integrations, "WRITTEN", tmp_path / "rows.jsonl")
    monkeypatch.setattr(integrations, "TOGETHER", 2)
    monkeypatch.setattr(integrations, "COMPARED", 3)
    for arm in ("bfloat16", "int8"):
        assert len(integrations.same_answers(arm, 300)["texts"]) == 3


def test_pages_are_read_into_a_library(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrations, "LOT", 1000)
    found = integrations.page_rate("library", 8000)
    start, end = (found[f"at the {name}, tokens per second"] for name in ("start", "end"))
    assert found["end over start"] == end / start > 0


def test_another_device_measures_the_peers_by_the_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[tuple[str, str, str]] = []

    def note(case: str, arm: str, *_: int) -> dict[str, Any]:
        measured.append((case, arm, measure.device()))
        return dict.fromkeys(peers.KEYS, 1.0)

    monkeypatch.setattr(bench, "measure", note)
    monkeypatch.setenv(measure.DEVICE, "cpu")  # restored at the end
    options = ["--device", "cuda", "--arms", "off", "transformers", "--runs", "2"]
    monkeypatch.setattr(sys, "argv", ["bench", *options, "--out", str(tmp_path)])
    bench.main()
    assert measured == [("peers", "transformers", "cuda"), ("peers", "off", "cuda")] * 2
    assert "| off | 1 (1 to 1) |" in capsys.readouterr().out
    waited: list[None] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waited.append(None))
    assert measure.clock() < measure.clock()
    assert len(waited) == 2
    with pytest.raises(peers.MissingPeerError, match="CPUs"):
        peers.peers("int4", 300)
