"""Orders of pages, and a library beside what reads again, are compared on a tiny model."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

import numpy as np
import pytest
from checkpoints import save_tiny

from recipes import compare_rag, compare_selectors
from recipes.train_nano.tasks import Item

WORDS = "harbor lamp copper winter signal meadow engine paper stone river barge crane"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Passages with a question each, and prose."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(0)
    (folder / "eval").mkdir()
    (folder / "nano").mkdir()
    squad = [
        {
            "title": f"Town {i}",
            "context": f"Town {i} has a mayor named Ulver{i}. " + _sentence(rng) + _sentence(rng),
            "question": f"Who is mayor of Town {i}?",
            "answers": [f"Ulver{i}"],
        }
        for i in range(12)
    ]
    docs = [
        {"title": r["title"], "text": r["context"], "supporting": i < 2}
        for i, r in enumerate(squad[:10])
    ]
    wiki = [{"question": "Which two?", "answers": ["both"], "docs": docs}]
    for name, rows in (("squad_dev", squad), ("2wikimultihopqa_dev_200", wiki)):
        (folder / "eval" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with lzma.open(folder / "nano" / "p0.xz", "wt") as file:
        for _ in range(40):
            text = "".join(_sentence(rng) for _ in range(6))
            file.write(json.dumps({"text": text}) + "\n")
    return folder


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.sample(WORDS.split(), 6)).capitalize() + ". "


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny", "llama")


def test_orders_are_compared_on_the_same_questions(
    data: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_selectors, "LAYERS", (1, 2))
    given = [str(model), "--base", str(model), "--data", str(data / "eval")]
    compare_selectors.main([*given, "--dense", str(model)])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    names = dict.fromkeys(row[0] for row in rows)
    assert [name.split(",")[0] for name in names] == ["SQuAD 2.0", "2Wiki", "12 pages", "12 pages"]
    assert all(len([r for r in rows if r[0] == n]) == len(compare_selectors.ORDERS) for n in names)
    words = {row[0]: float(row[3]) for row in rows if row[2] == "words"}
    assert words["SQuAD 2.0, 10 passages"] == words["12 pages, first five"] == 1  # the names match
    for row in rows:  # a difference is that of the two means
        if row[4] != "-":
            assert float(row[4].split()[0]) == pytest.approx(
                float(row[3]) - words[row[0]], abs=2e-3
            )


def test_fusing_prefers_what_both_orders_rank_high() -> None:
    fused = compare_selectors.fuse([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    assert np.argsort(fused).tolist()[::-1] == [1, 0, 2]
    item = Item(["[1] A", "[2] B"], "?", ["x"], frozenset({2}))
    asked = compare_selectors.Asked("s", [item])
    recalls = compare_selectors.measure_recall(asked, {"words": lambda _: [0.1, 0.9]})
    assert {name: values.tolist() for name, values in recalls.items()} == {"words": [1.0]}


def test_a_library_is_compared_with_what_reads_again(
    data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--sizes", "700", "2100", "--questions", "2", "--timed", "1", "--passages", "2", "3"]
    given = ["--model", str(model), "--data", str(data), "--dense", str(model)]
    compare_rag.main([*given, *sizes, "--profile-layers", "1", "2"])
    lines = capsys.readouterr().out.splitlines()
    grown = [line for line in lines if "per second" in line]
    assert [
        int(line.split()[0]) >= size for line, size in zip(grown, (700, 2000, 2100), strict=True)
    ]
    for name in ("library, together", "library, each", "words + Transformers", "dense + LangChain"):
        own = [line for line in lines if line.strip().startswith(name)]
        assert len(own) == 2
        assert "2 passages" in own[0]
        assert "of 2 right" in own[1]
