"""Whatever fails at any file operation: what was saved opens as it was, or as it is now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save_tiny
from file_faults import LIGHT, disturb_each_operation, kill_at_each_operation, memory_folder

from pace_integrations import Corpus, Document, MemoryConfig, Pace, ReadConfig, Session
from pace_integrations.model.loading import LoadedModel, load_model
from pace_integrations.store.store import Sessions

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked to be killed"),
    # An interrupt inside `with open(...)` may leave the file to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MEMORY = MemoryConfig(step=128, slots=4, layers=(0,))
CHUNKED = ReadConfig(chunk=128)  # fewer than the prompt before the first document has


@pytest.fixture(scope="module")
def path_of_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("one-layer"), num_hidden_layers=1)


@pytest.fixture(scope="module")
def pace(path_of_model: Path) -> Iterator[Pace]:
    """The smallest model there is: what is walked here are files."""
    with Pace.load(path_of_model, memory=MEMORY) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def unstarted(path_of_model: Path) -> LoadedModel:
    """The same model, which no thread runs yet, for processes that are forked to be killed."""
    return load_model(path_of_model)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """What is walked are operations; where they take place does not matter."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here, and waiting for the disk takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def texts(*names: str, word: str = "stands") -> Corpus:
    return Corpus.from_texts({name: f"The {name} {word}." for name in names})


def documents(session: Session) -> tuple[Document, ...]:
    assert session.corpus is not None
    return session.corpus.documents


CHANGES: dict[str, Callable[[Session], object]] = {
    "nothing": lambda session: None,
    "add": lambda session: session.add(texts("ash")),
    "replace": lambda session: session.replace(texts("elm", word="fell")),
    "remove": lambda session: session.remove("oak"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_disturbed_save_of_a_change_leaves_it_before_or_after(
    pace: Pace, tmp_path: Path, change: str
) -> None:
    first, path = tmp_path / "first.pace", tmp_path / "s.pace"
    pace.read(texts("oak", "elm")).save(first)
    changed = pace.open(first)
    CHANGES[change](changed)

    def prepare() -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(first, path)

    def save() -> None:
        changed.save(path)

    old, new = documents(pace.open(first)), documents(changed)
    seen: list[tuple[Document, ...]] = []
    for fault, at in chain(
        disturb_each_operation(save, prepare, LIGHT), kill_at_each_operation(save, prepare, path)
    ):
        opened = pace.open(path)
        assert documents(opened) in (old, new), (fault, at)
        seen.append(documents(opened))
        if at % 5 == 0:  # the next one succeeds, and leaves nothing over
            opened.save(path)
            assert len(list(path.glob("data-*"))) == 1, (fault, at)
            assert documents(pace.open(path)) == documents(opened)
    assert old in seen
    assert new in seen


@pytest.mark.parametrize("where", ["path", "store"])
def test_a_disturbed_reading_leaves_what_was_whole_and_can_be_done_again(
    pace: Pace,
    unstarted: LoadedModel,
    tmp_path: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, kept = tmp_path / "first", tmp_path / "kept"
    monkeypatch.setattr(pace, "sessions", Sessions(kept))
    old, new = texts("oak", "elm"), texts("yew", "elm")
    place: dict[str, Any] = {"path": kept / "s.pace"} if where == "path" else {"store": True}
    pace.read(old, config=CHUNKED, **place)
    kept.rename(first)
    parent = os.getpid()

    def prepare() -> None:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(first, kept)

    def read_new() -> Session:
        reader = pace
        if os.getpid() != parent:
            reader = Pace(unstarted, MEMORY)
            reader.sessions = pace.sessions
        return reader.read(new, config=CHUNKED, **place)

    seen: list[tuple[Document, ...]] = []
    for fault, at in chain(
        disturb_each_operation(read_new, prepare, LIGHT),
        kill_at_each_operation(read_new, prepare, kept),
    ):
        if where == "path":
            seen.append(documents(pace.open(kept / "s.pace")))
        else:
            entries = pace.sessions.verify()
            assert not [entry for entry in entries if entry.status == "damaged"], (fault, at)
            whole = [entry.documents for entry in entries if entry.status == "whole"]
            assert ("oak", "elm") in whole, (fault, at)
            seen.append((new if ("yew", "elm") in whole else old).documents)
        assert seen[-1] in (old.documents, new.documents), (fault, at)
        if at % 16 == 0:
            assert documents(read_new()) == new.documents
            assert read_new().read_cost.read == 0, (fault, at)
    assert old.documents in seen
    assert new.documents in seen
