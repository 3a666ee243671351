"""What a model was trained for stands beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoints import save_tiny

from pace_integrations import Pace
from pace_integrations.errors import ModelLoadError
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.library.profile import FILE


def test_a_checkpoint_says_how_it_reads(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", "llama")
    saved = {"index_layers": [1, 3], "threshold": 0.4, "temperature": 7, "verification": None}
    (model / FILE).write_text(json.dumps(saved))
    with Pace.load(model, memory=None) as pace:
        library = Library.open(tmp_path / "lib", pace)
        assert library.profile == ReadingProfile(index_layers=(1, 3), threshold=0.4)
        assert (library.attention, library.exact) == ("pages", True)
        full = Library.open(tmp_path / "lib", pace, attention="full")
        assert full.attention == "full"


@pytest.mark.parametrize("content", ["{", "[]", '{"index_layers": 3}'])
def test_a_profile_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    model = save_tiny(tmp_path / "model", "llama")
    (model / FILE).write_text(content)
    with (
        Pace.load(model, memory=None) as pace,
        pytest.raises(ModelLoadError, match=FILE),
    ):
        Library.open(tmp_path / "lib", pace)
