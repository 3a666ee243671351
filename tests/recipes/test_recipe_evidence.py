"""The evidence's runs make their rows, go on where they stopped, and are computed again alike."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from pace_integrations import MemoryConfig
from pace_integrations._memory_rules import RULES
from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.arms import ARMS
from pace_integrations.evaluation.runner import Progress, load_records
from pace_integrations.evaluation.tasks import Row
from recipes import evidence_banks, evidence_runs, recompute_evidence
from recipes.evidence_rows import CALIBRATED, PASSAGES, Given, make_prose_rows

SENTENCE = "The keeper of lighthouse {} logs {} ships on day {}. "


@pytest.fixture
def given(tiny_path: Path, tmp_path: Path) -> Given:
    """Two questions of each set, on short passages."""
    (tmp_path / "data/eval").mkdir(parents=True)
    (tmp_path / "data/nano").mkdir()
    texts = [SENTENCE.format(i, 3 * i, 7 * i) * 3 for i in range(12)]
    squad = [
        {"title": f"T{i}", "context": text, "question": f"Who logs {i}?", "answers": ["keeper"]}
        for i, text in enumerate(texts)
    ]
    docs = [{"title": f"W{i}", "text": t, "supporting": i < 2} for i, t in enumerate(texts[:10])]
    wiki = [{"question": "Which?", "answers": ["lighthouse 1"], "docs": docs}]
    for name, rows in (("squad_dev", squad), ("2wikimultihopqa_dev_200", wiki)):
        lines = "\n".join(map(json.dumps, rows))
        (tmp_path / f"data/eval/{name}.jsonl").write_text(lines)
    with lzma.open(tmp_path / "data/nano/p0.xz", "wt") as file:
        file.write("\n".join(json.dumps({"text": text * 8}) for text in texts))
    return Given(str(tiny_path), tmp_path / "data", tmp_path / "out", rows=1)


def test_a_run_is_made_resumed_and_recomputed(
    given: Given,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arms = [ARMS["off"], ARMS["released"]]
    run = replace(evidence_runs.RUNS["documents"], arms=lambda _: arms)
    monkeypatch.setitem(evidence_runs.RUNS, "documents", run)
    evidence_runs.run_family("documents", given)
    folder = given.out / "documents"
    first = load_records(folder)
    assert [(r["arm"], r["task"]) for r in first] == [
        (arm.name, task) for task in ("squad10", "2wiki") for arm in arms
    ]
    assert len(run.rows(given)[0].documents) == PASSAGES
    arms.append(ARMS["slotwise"])
    evidence_runs.run_family("documents", given)
    assert load_records(folder)[:4] == first
    assert recompute_evidence.recompute(folder)
    changed = [{**r, "prediction": "the keeper", "score": 0.5} for r in load_records(folder)]
    (folder / "results.jsonl").write_text("\n".join(map(json.dumps, changed)) + "\n")
    assert not recompute_evidence.recompute(folder)
    assert "NOT AS REPORTED" in capsys.readouterr().out


def test_a_run_that_is_killed_between_processes_has_the_same_rows_of_every_arm(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = replace(given, rows=4, processes=2, device="cpu", arms=("slotwise",))
    arms = [ARMS["off"], ARMS["random"], ARMS["slotwise"]]
    run = replace(evidence_runs.RUNS["documents"], arms=lambda _: arms)
    monkeypatch.setitem(evidence_runs.RUNS, "documents", run)

    def stop(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    shown = evidence_runs.show_progress
    monkeypatch.setattr(evidence_runs, "show_progress", stop)
    with pytest.raises(KeyboardInterrupt):
        evidence_runs.run_family("documents", given)
    monkeypatch.setattr(evidence_runs, "show_progress", shown)
    folder = given.out / "documents"
    assert len(load_records(folder)) == 4
    given = replace(given, processes=1)
    report = evidence_runs.run_family("documents", given)[0].read_text()
    records = load_records(folder)
    asked = {(r["arm"], r["id"]) for r in records}
    assert len(records) == len(asked) == 2 * 5
    assert {arm for arm, _ in asked} == {"off", "slotwise"}
    assert "ended early" not in report
    evidence_runs.run_family("documents", replace(given, rows=1, arms=("random",)))
    assert "6 more answers" in (folder / "report.md").read_text()
    assert recompute_evidence.recompute(folder)
    with pytest.raises(ConfigError, match="setting"):
        evidence_runs.run_family("documents", replace(given, device="cpu:0"))


def test_arms_and_costs_are_those_of_the_command_line(
    given: Given, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--model", given.model, "--data", str(given.data), "--out", str(given.out)]
    evidence_runs.main(["documents", *typed, "--count", "--arms", "bm25", "paper"])
    said = capsys.readouterr().out
    assert "documents: 13 rows about 3 texts" in said
    assert said.strip().endswith("answers 13 questions; 3 arms")
    with pytest.raises(ConfigError, match="no arm nothing"):
        evidence_runs.main(["documents", *typed, "--arms", "nothing"])


def test_prose_is_scored_under_a_chosen_memory(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    given.out.mkdir()
    chosen = {"config": {"layers": [1], "slots": 8, "step": 64, "blend": 0.5}, "said": ""}
    (given.out / CALIBRATED).write_text(json.dumps(chosen))
    run = evidence_runs.Run(make_prose_rows(600), lambda g: [ARMS["off"], *g.chosen_memory()])
    monkeypatch.setitem(evidence_runs.RUNS, "prose-8k", run)
    evidence_runs.run_family("prose-8k", given)
    records = load_records(given.out / "prose-8k")
    assert [r["arm"] for r in records] == ["off", "calibrated"]
    assert [len(r["losses"]) for r in records] == [3, 3]
    assert records[0]["losses"] != records[1]["losses"]
    assert recompute_evidence.recompute(given.out / "prose-8k")


def test_calibrating_reads_other_prose_and_is_done_once(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_runs, "CALIBRATION_TOKENS", 1024)
    file = evidence_runs.calibrate(given)
    config = json.loads(file.read_text())["config"]
    assert config is None or MemoryConfig(**config).layers
    file.write_text(json.dumps({"config": None, "said": "kept"}))
    assert json.loads(evidence_runs.calibrate(given).read_text())["said"] == "kept"
    assert given.chosen_memory() == []


@pytest.mark.parametrize("name", evidence_runs.RUNS)
def test_every_run_has_off_first_and_arms_with_names_of_their_own(name: str, given: Given) -> None:
    names = [arm.name for arm in evidence_runs.RUNS[name].arms(given)]
    assert names[0] == "off"
    assert len(set(names)) == len(names) >= 4


def test_banks_are_looked_into_and_pages_scored_once(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_banks, "make_prose_rows", lambda _: make_prose)
    inside = evidence_banks.inspect_banks(given)
    assert [line.split()[0] for line in inside[1:]] == [rule for rule in RULES for _ in range(2)]
    lines = [json.loads(x) for x in (given.out / "banks.jsonl").read_text().splitlines()]
    for line in lines:
        assert sum(line["hits"]) == pytest.approx(1)
        assert 0 < line["slots"] <= 100
        assert line["age"][0] <= line["age"][1] <= line["age"][2]
    assert evidence_banks.inspect_banks(given) == inside
    scored = evidence_banks.compare_retrievers(given)
    assert [line.split()[:2] for line in scored[1:]] == [["squad10", "1"], ["2wiki", "1"]]
    assert evidence_banks.compare_retrievers(given) == scored
    assert len((given.out / "retriever.jsonl").read_text().splitlines()) == 2


def make_prose(given: Given) -> list[Row]:
    return make_prose_rows(1100)(given)
