"""``pace read``: documents into a library in a folder or at an address."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from checkpoints import save_tiny
from typer.testing import CliRunner

from pace_integrations.cli import app


def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    model = save_tiny(tmp_path / "model", "llama")
    (model / "reading.json").write_text(json.dumps({"index_layers": [1, 2]}))
    (tmp_path / "door.txt").write_text("The harbor has an oak door.")
    url = f"file://{tmp_path}/shared"
    read = []
    for _ in range(2):
        words = ["read", url, str(tmp_path / "door.txt"), "--model", str(model), "--json"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stderr
        read.append(json.loads(result.stdout)["read"])
    assert read[0] > 0
    assert read[1] == 0


def test_actors_without_ray_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    (tmp_path / "door.txt").write_text("The harbor has an oak door.")
    model = save_tiny(tmp_path / "model", "llama")
    words = ["read", str(tmp_path / "lib"), str(tmp_path / "door.txt"), "--model", str(model)]
    result = CliRunner().invoke(app, [*words, "--ray", "2"])
    assert result.exit_code != 0
    assert "pace-integrations[ray]" in result.stderr
