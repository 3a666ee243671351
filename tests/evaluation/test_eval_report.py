"""The report: its numbers are those of the records, in every form; and ``pace eval``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pace_integrations.cli.app import app
from pace_integrations.errors import DocumentError
from pace_integrations.evaluation.arm_runner import strip_citations
from pace_integrations.evaluation.figures import average_by_cell
from pace_integrations.evaluation.metrics.registry import score_prediction
from pace_integrations.evaluation.render import (
    Code,
    Heading,
    Image,
    Table,
    Text,
    render_html,
    render_markdown,
)
from pace_integrations.evaluation.report import write_report
from pace_integrations.evaluation.runner import load_records

CELL = re.compile(r"([+-]?\d\.\d{3})(?: \[([+-]?\d\.\d{3}), ([+-]?\d\.\d{3})\])?")


def made_up(folder: Path) -> list[dict]:
    """Records of two arms on ten rows in two orders, as a run would have left them."""
    random = np.random.default_rng(0)
    records = []
    for arm, chance in (("off", 0.4), ("released", 0.8)):
        for i in range(10):
            for order in range(2):
                record = {
                    "arm": arm,
                    "id": f"r{i}",
                    "order": order,
                    "task": "niah" if i < 6 else "a|b",
                    "length": 512 * (1 + i % 2),
                    "position": (i % 3) / 2,
                    "score": float(random.random() < chance),
                    "prediction": f"{arm if i == 3 else 'same'} {order}",
                    "citation_precision": 0.5,
                    "citation_recall": None,
                    "tokens": 100 + i,
                    "read_seconds": 0.25,
                    "answer_seconds": 0.5,
                }
                records.append(record)
    folder.mkdir(exist_ok=True)
    (folder / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    arms = {"off": {"about": "memory off"}, "released": {"about": "<rule>"}}
    about = {"version": "1", "setting": {"model": None}, "arms": arms}
    (folder / "run.json").write_text(json.dumps(about))
    return records


def mean(records: list[dict], arm: str, **fixed: object) -> float:
    rows: dict[str, list[float]] = {}
    for r in records:
        if r["arm"] == arm and all(r[k] == v for k, v in fixed.items()):
            rows.setdefault(r["id"], []).append(r["score"])
    return float(np.mean([np.mean(v) for v in rows.values()]))


def test_the_numbers_can_be_computed_again_from_the_records(tmp_path: Path) -> None:
    records = made_up(tmp_path)
    text = write_report(tmp_path, command="pace eval x")[0].read_text()
    line = next(ln for ln in text.splitlines() if ln.startswith("| released: <rule>"))
    score_, difference, detectable = CELL.findall(line)
    off, own = mean(records, "off"), mean(records, "released")
    assert float(score_[0]) == pytest.approx(own, abs=5e-4)
    assert float(difference[0]) == pytest.approx(own - off, abs=5e-4)
    assert float(difference[1]) <= own - off <= float(difference[2])
    rows = [
        [mean([r for r in records if r["id"] == f"r{i}"], arm) for arm in ("released", "off")]
        for i in range(10)
    ]
    # The 0.975 and 0.8 quantiles of a normal distribution, added.
    power = (1.959964 + 0.841621) * np.std([a - b for a, b in rows], ddof=1) / 10**0.5
    assert float(detectable[0]) == pytest.approx(power, abs=5e-4)
    cells = next(ln for ln in text.splitlines() if re.match(r"\| released \| \S+ \(", ln))
    header = next(ln for ln in text.splitlines() if ln.startswith("| arm | niah"))
    for name, cell in zip(header.split(" | ")[1:], cells.split(" | ")[1:], strict=True):
        task, length = name.replace(" |", "").replace("\\|", "|").rsplit(" ", 1)
        fixed = {"task": task, "length": int(length)}
        assert float(cell[:5]) == pytest.approx(mean(records, "released", **fixed), abs=5e-4)
    assert "```bash\npace eval x\n```" in text
    assert "| off | 0 of 20 | 0.50 | - |" in text
    assert "| released | 2 of 20 | 0.50 | - |" in text


def test_both_forms_say_the_same_and_pictures_are_there(tmp_path: Path) -> None:
    made_up(tmp_path)
    text, page = (file.read_text() for file in write_report(tmp_path))
    figures = re.findall(r"!\[.*\]\((.*)\)", text)
    assert len(figures) == 6
    for name in figures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64,") == len(figures)
    numbers = re.findall(r"\d\.\d{3}", text)
    assert len(numbers) > 20
    assert re.findall(r"\d\.\d{3}", re.sub(r"<img.*?>", "", page)) == numbers
    assert "<rule>" not in page
    assert "&lt;rule&gt;" in page


def test_a_report_can_be_made_again_and_keeps_its_command(tmp_path: Path) -> None:
    made_up(tmp_path)
    first = [file.read_text() for file in write_report(tmp_path, command="pace eval x")]
    assert [file.read_text() for file in write_report(tmp_path)] == first
    with pytest.raises(DocumentError, match="no records"):
        write_report(tmp_path / "elsewhere")


def test_a_run_ended_early_is_reported_on_the_rows_that_all_arms_have(tmp_path: Path) -> None:
    records = made_up(tmp_path)
    kept = [r for r in records if r["arm"] == "off" or r["id"] in ("r1", "r2", "r3")]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept))
    text = write_report(tmp_path)[0].read_text()
    shared = [r for r in kept if r["id"] in ("r1", "r2", "r3")]
    line = next(ln for ln in text.splitlines() if ln.startswith("| off: "))
    assert line.split(" | ")[1] == "3"
    assert float(CELL.findall(line)[0][0]) == pytest.approx(mean(shared, "off"), abs=5e-4)
    assert f"{len(kept) - len(shared)} more answers" in text
    none = [r for r in records if (r["arm"] == "off") == (r["id"] == "r1")]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in none))
    with pytest.raises(DocumentError, match="no row that all arms"):
        write_report(tmp_path)


def test_a_grid_holds_means() -> None:
    cells = [
        {"length": 1, "position": 0.0, "score": 1.0},
        {"length": 1, "position": 0.0, "score": 0.0},
        {"length": 2, "position": 0.5, "score": 1.0},
    ]
    assert average_by_cell(cells) == {(1, 0.0): 0.5, (2, 0.5): 1.0}


def test_parts_render(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"png")
    parts = [
        Heading(1, "A & B"),
        Text("x < y"),
        Code("ls"),
        Table(["a", "b"], [["1|2", "3\n4"]]),
        Image("p.png", "it"),
    ]
    text = render_markdown(parts)
    assert text.startswith("# A & B\n\nx < y\n\n```bash\nls\n```\n\n| a | b |\n| --- | --- |\n")
    assert "| 1\\|2 | 3 4 |" in text
    assert text.endswith("![it](p.png)\n")
    page = render_html(parts, tmp_path)
    assert "<title>A &amp; B</title>" in page
    assert "x &lt; y" in page
    assert "base64,cG5n" in page


def test_one_command_makes_the_report_and_goes_on(
    tiny_path: Path, house: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    arguments = [
        "eval", "planted", "niah", "--model", str(tiny_path), "--arms", "released,bm25,window",
        "--lengths", "300", "--rows", "2", "--orders", "1", "--on", str(house),
        "--report", str(folder), "--max-new-tokens", "3", "--dtype", "float32",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    records = load_records(folder)
    assert len(records) == 4 * 4
    assert {r["arm"] for r in records} == {"off", "released", "bm25", "window"}
    for r in records:  # scores too follow from what is in the file
        assert (
            score_prediction(
                r["metric"], strip_citations(r["prediction"]), r["answers"], r["extra"]
            )
            == r["score"]
        )
    before = (folder / "results.jsonl").read_bytes()
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0
    assert (folder / "results.jsonl").read_bytes() == before
    (folder / "report.md").unlink()
    assert CliRunner().invoke(app, ["eval", "--report", str(folder)]).exit_code == 0
    assert "planted" in (folder / "report.md").read_text()


def test_mistakes_on_the_command_line_are_named(tmp_path: Path) -> None:
    for arguments, words in (
        (["niha"], "niha"),
        (["niah", "--arms", "relesed"], "relesed"),
        (["niah", "--lengths", "1k"], "1k"),
        ([], "no records"),
    ):
        done = CliRunner().invoke(app, ["eval", *arguments, "--report", str(tmp_path / "x")])
        assert done.exit_code == 2
        assert words in done.output
