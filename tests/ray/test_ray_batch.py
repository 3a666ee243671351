"""The recipe that asks many libraries writes one table, with the answers of one process."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
pytest.importorskip("pandas")

from pace_integrations import Corpus, GenerationConfig, Pace
from recipes.batch_to_parquet import COLUMNS, main

pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]


def test_the_table_holds_what_one_process_answers(cluster: Any, model: str, tmp_path: Path) -> None:
    import pandas

    expected = {}
    with Pace.load(model, memory=None) as pace, (tmp_path / "q.csv").open("w") as stream:
        table = csv.writer(stream)
        table.writerow(["library", "question"])
        for place in ("harbor", "castle"):
            folder = tmp_path / place
            library = pace.library(folder)
            library.add(Corpus.from_texts({place: f"The {place} has an oak door."}))
            for question in (f"Which door has the {place}?", "Is it open?"):
                table.writerow([folder, question])
                told = library.ask(question, generation=GenerationConfig(max_new_tokens=6)).text
                expected[str(folder), question] = told
    files = [str(tmp_path / "q.csv"), "-o", str(tmp_path / "out")]
    main([*files, "--model", model, "--max-new-tokens", "6"])
    rows = pandas.read_parquet(tmp_path / "out").to_dict("records")
    assert {(row["library"], row["question"]): row["answer"] for row in rows} == expected
    assert set(rows[0]) == set(COLUMNS)
