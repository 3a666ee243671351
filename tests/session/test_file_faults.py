"""Whatever fails at any file operation: what was saved opens as it was, or as it is now.

Most of the hundreds of operations of a save write one tensor after another, and each is walked in
`tests/store/test_file_faults.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from file_faults import EVERY_STEP, FAULTS, Fault, disturb_each_operation

from pace_integrations import Corpus, Document, Pace, ReadConfig, Session
from pace_integrations.errors import SessionFileError
from pace_integrations.store.store import Sessions

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked to be killed"),
    # An interrupt inside `with open(...)` may leave the file to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CHUNKED = ReadConfig(chunk=32)
HERE: tuple[Fault, ...] = ("error", "interrupt", "interrupt after")


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here, and waiting for the disk takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def texts(*names: str, word: str = "stands") -> Corpus:
    return Corpus.from_texts({name: f"The {name} {word} near the pond." for name in names})


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
    changed: list[Session] = []

    def prepare() -> None:
        changed.clear()
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(first, path)
        changed.append(pace.open(path))
        CHANGES[change](changed[0])

    prepare()
    old, new = documents(pace.open(first)), documents(changed[0])
    seen: list[tuple[Document, ...]] = []
    for fault, at in disturb_each_operation(
        lambda: changed[0].save(path), prepare, FAULTS, stride=1 if EVERY_STEP else 43
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
    pace: Pace, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "sessions", Sessions(tmp_path / "store"))
    old, new = texts("oak", "elm"), texts("yew", "elm")
    place = {"path": tmp_path / "s.pace"} if where == "path" else {"store": True}

    def prepare() -> None:
        for folder in (tmp_path / "s.pace", pace.sessions.root):
            shutil.rmtree(folder, ignore_errors=True)
        pace.read(old, config=CHUNKED, **place)

    for fault, at in disturb_each_operation(
        lambda: pace.read(new, config=CHUNKED, **place),
        prepare,
        HERE,
        stride=1 if EVERY_STEP else 97,
    ):
        if where == "path":
            try:
                found = documents(pace.open(tmp_path / "s.pace"))
                assert found in (old.documents, new.documents), (fault, at)
            except SessionFileError as error:
                pytest.fail(f"{fault} at {at}: {error}")
        else:
            assert pace.read(old, store=True).read_cost.read == 0, (fault, at)
        if at % 4 == 0:
            again = pace.read(new, config=CHUNKED, **place)
            assert documents(again) == new.documents
            assert pace.read(new, config=CHUNKED, **place).read_cost.read == 0, (fault, at)
