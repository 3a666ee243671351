"""Sessions that another machine has read; a machine is a PACE_HOME of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoints import save_tiny
from shared_stores import store_kind_fixture, url_fixture

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.store.shared_folder import SharedFolder
from pace_integrations.store.store import Sessions

__all__ = ["store_kind_fixture", "url_fixture"]

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
CORPUS = Corpus.from_texts({"One": "The harbor has an oak door.", "Two": "A bell opens it."})
SHORT = GenerationConfig(max_new_tokens=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def pace(model: Path) -> Iterator[Pace]:
    with Pace.load(model, memory=MemoryConfig()) as loaded:
        yield loaded


def test_what_one_machine_has_read_no_other_reads(
    pace: Pace, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACE_STORE", url)
    answers = []
    for machine in ("one", "other"):
        pace.sessions = Sessions(tmp_path / machine)
        session = pace.read(CORPUS, store=True, namespace="ada")
        answers.append((session.read_cost.read, session.ask("Which door?", generation=SHORT).text))
    assert answers[0][0] > 0
    assert answers[1][0] == 0
    assert answers[0][1] == answers[1][1]
    assert [entry.status for entry in pace.sessions.verify()] == ["whole"]
    (key,) = SharedFolder(url).list("sessions")
    assert SharedFolder(url).list(f"sessions/{key}")[-1] == "manifest.json"
    # Whose it is is part of its name, and of what is compared.
    assert pace.read(CORPUS, store=True, namespace="bob").read_cost.read > 0


def test_another_model_reads_for_itself(pace: Pace, url: str, tmp_path: Path) -> None:
    pace.sessions = Sessions(tmp_path / "one", shared=url)
    pace.read(CORPUS, store=True)
    other_model = save_tiny(tmp_path / "m", seed=1)
    with Pace.load(other_model, memory=MemoryConfig()) as other:
        other.sessions = Sessions(tmp_path / "other", shared=url)
        assert other.read(CORPUS, store=True).read_cost.read > 0
    assert len(SharedFolder(url).list("sessions")) == 2


@pytest.mark.parametrize("what", ["bytes", "missing", "manifest", "fingerprint"])
def test_what_is_damaged_is_read_again_and_mended(
    pace: Pace, url: str, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    pace.sessions = Sessions(tmp_path / "one", shared=url)
    pace.read(CORPUS, store=True)
    shared = SharedFolder(url)
    place = f"sessions/{shared.list('sessions')[0]}"
    data = f"{place}/{shared.list(place)[0]}"
    if what == "bytes":
        kv = shared.read(f"{data}/kv.safetensors")
        shared.write(f"{data}/kv.safetensors", kv[:-1] + bytes([kv[-1] ^ 1]))
    elif what == "missing":
        shared.remove([f"{data}/kv.safetensors"])
    else:
        text = shared.read(f"{place}/manifest.json")
        new = text[:40] if what == "manifest" else text.replace(b'"tokens": ', b'"tokens": 1')
        shared.write(f"{place}/manifest.json", new)
    pace.sessions = Sessions(tmp_path / "other", shared=url)
    with caplog.at_level(logging.WARNING):
        assert pace.read(CORPUS, store=True).read_cost.read > 0
    assert [entry.status for entry in pace.sessions.verify()] == ["whole"]
    if what != "missing":
        assert "is not taken from" in caplog.text
    pace.sessions = Sessions(tmp_path / "third", shared=url)
    assert pace.read(CORPUS, store=True).read_cost.read == 0
