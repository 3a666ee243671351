"""Hostile files of every kind, and many pages, by the recipe that measures them at length."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutate import MUTATIONS
from pdfs import typeset

from recipes.check_documents import hostile, long


@pytest.mark.parametrize("engine", ["pypdf", "pdfium"])
def test_every_kind_of_damage_gets_a_status_within_the_limits(tmp_path: Path, engine: str) -> None:
    (tmp_path / "sound.pdf").write_bytes(typeset("The gate opens at 7:30.", "No pets."))
    found = hostile(tmp_path, engine, len(MUTATIONS), seed=11)
    assert found["files"] == len(MUTATIONS) + 1 == sum(found["statuses"].values())
    assert set(found["kinds"]) == {"sample", *(mutation.__name__ for mutation in MUTATIONS)}
    assert found["kinds"]["sample"] == {"ok": 1}
    assert found["longest"] <= 20.0
    assert found["peak MB"] - found["MB before"] < 1000


def test_many_pages_are_read_to_the_last() -> None:
    found = long("pdfium", 60)
    assert (found["status"], found["pages"]) == ("ok", 60)
