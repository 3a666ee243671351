"""A session folder never decides which model is loaded: its caller does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pace_integrations import Corpus, Pace, PaceError
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.errors import ConfigError, IncompatibleSessionError
from pace_integrations.model import loading

CORPUS = Corpus.from_texts({"oak": "The oak stands near the pond."})


@pytest.fixture
def saved(pace: Pace, tmp_path: Path) -> Path:
    pace.read(CORPUS).save(tmp_path / "a.pace")
    return tmp_path / "a.pace"


def rename_model(saved: Path, name: str) -> None:
    """Change the model's name as whoever hands over a folder could."""
    manifest = json.loads((saved / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["fingerprint"]["model"] = name
    checksum = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps({**manifest, "sha256": checksum}))


@pytest.mark.parametrize("name", ["someone/else", "/tmp/elsewhere", "../model", ""])
def test_a_model_is_not_loaded_because_a_folder_names_it(
    saved: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename_model(saved, name)
    loaded: list[object] = []
    monkeypatch.setattr(loading, "load_model", lambda *a, **k: loaded.append(a))
    with pytest.raises(ConfigError, match="model="):
        _ = LazySession(session=saved).session
    assert loaded == []


def test_with_the_callers_word_it_is(saved: Path, pace: Pace, tiny_path: Path) -> None:
    rename_model(saved, "someone/else")
    opened = LazySession(session=saved, model=tiny_path).session
    assert opened.tokens == pace.read(CORPUS).tokens
    opened.pace.close()
    assert LazySession(session=saved, pace=pace).session.tokens == opened.tokens


def test_another_model_than_the_one_that_read_is_refused(saved: Path, embedded: Pace) -> None:
    rename_model(saved, "pace-nano")  # one that may be loaded without a word
    with pytest.raises((IncompatibleSessionError, PaceError)):
        _ = LazySession(session=saved).session
    with pytest.raises(IncompatibleSessionError):
        embedded.open(saved)
