"""Whatever fails, interrupts or kills at any file operation: the old session or the new one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from file_faults import (
    disturb_each_operation,
    interrupt_each_line,
    kill_at_each_operation,
    memory_folder,
)

import pace_integrations.store
from pace_integrations import Corpus
from pace_integrations.errors import SessionFileError
from pace_integrations.store.ownership import remove_session
from pace_integrations.store.session_folder import read_session, write_session
from pace_integrations.store.store import Sessions

pytestmark = [
    pytest.mark.local_folder("operations on files; test_shared_parts.py has those on objects"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked to be killed"),
    # An interrupt inside `with open(...)` may leave the file to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FINGERPRINT = {"model": "m"}
OLD, NEW = 3, 7  # tokens of the two sessions
STORE = Path(pace_integrations.store.__file__).parent


def write(path: Path, tokens: int) -> None:
    write_session(
        path,
        fingerprint=FINGERPRINT,
        tokens=tokens,
        corpus=Corpus.from_texts({"oak": f"The oak is {tokens} years old."}),
        tensors={"kv.safetensors": {"0.keys": (torch.full((1, 1, tokens, 4), float(tokens)),)}},
    )


def read(path: Path) -> int | None:
    """Tokens of the session that is there, as it was saved; None without one, -1 if damaged."""
    try:
        saved = read_session(path, fingerprint=FINGERPRINT)
    except SessionFileError as error:
        return None if "damaged" not in str(error) else -1
    assert saved.corpus.documents[0].pages[0].text == f"The oak is {saved.tokens} years old."
    assert torch.equal(
        saved.tensors["kv.safetensors"]["0.keys"],
        torch.full((1, 1, saved.tokens, 4), float(saved.tokens)),
    )
    return saved.tokens


def is_clean(path: Path) -> bool:
    names = {file.name for file in path.iterdir()}
    return names - {".used"} == {".lock", "manifest.json"} | {f.name for f in path.glob("data-*")}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """What is walked are operations; where they take place does not matter."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here, and waiting for the disk takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def prepare(path: Path, old: bool) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if old:
        write(path, OLD)


@pytest.mark.parametrize("old", [False, True], ids=["first", "replacing"])
def test_a_disturbed_save_leaves_the_old_session_or_the_new_one(tmp_path: Path, old: bool) -> None:
    path, seen = tmp_path / "s.pace", set()
    before = OLD if old else None
    for fault, at in disturb_each_operation(lambda: write(path, NEW), lambda: prepare(path, old)):
        found = read(path)
        assert found in (before, NEW), (fault, at)
        seen.add(found)
        write(path, NEW)  # the next one succeeds and leaves nothing over
        assert read(path) == NEW, (fault, at)
        assert is_clean(path), (fault, at, sorted(path.iterdir()))
        assert len(list(path.glob("data-*"))) == 1, (fault, at)
    assert seen == {before, NEW}


def list_sizes(path: Path) -> list[tuple[str, int]]:
    """Files and their bytes; the time in a manifest may be longer or shorter."""
    files = [f for f in path.rglob("*") if f.is_file()]
    return sorted(
        (re.sub(r"data-\w{12}", "data", str(f)), "manifest" not in f.name and f.stat().st_size)
        for f in files
    )


def test_a_stopped_process_shows_what_a_killed_one_leaves(tmp_path: Path) -> None:
    path = tmp_path / "s.pace"
    made = lambda: write(path, NEW), lambda: prepare(path, True)
    killed = {at: list_sizes(path) for _, at in disturb_each_operation(*made, ("kill",))}
    stopped = {at: list_sizes(path) for _, at in kill_at_each_operation(*made, path)}
    assert len(killed) > 30
    assert stopped == killed


def test_a_save_interrupted_at_any_line_leaves_the_old_session_or_the_new_one(
    tmp_path: Path,
) -> None:
    path, seen = tmp_path / "s.pace", set()
    for at in interrupt_each_line(lambda: write(path, NEW), lambda: prepare(path, True), STORE):
        seen.add(found := read(path))
        assert found in (OLD, NEW), at
    assert seen == {OLD, NEW}


def test_a_disturbed_removal_can_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "s.pace"
    for fault, at in disturb_each_operation(
        lambda: remove_session(path), lambda: prepare(path, True)
    ):
        assert read(path) in (OLD, None), (fault, at)
        assert remove_session(path), (fault, at)
        assert not path.exists()


def test_a_disturbed_store_loses_nothing_but_what_it_removes(tmp_path: Path) -> None:
    store = Sessions(tmp_path / "store")
    one, other = (store.root / f"{digit * 32}.pace" for digit in "01")

    def fill() -> None:
        for path in (one, other):
            if not path.exists():
                with store.use(path):
                    write(path, OLD)

    for fault, at in disturb_each_operation(lambda: store.remove("0" * 32), fill):
        assert read(other) == OLD, (fault, at)
        assert read(one) in (OLD, None), (fault, at)
        entries = {entry.key: entry.status for entry in store.list()}
        assert entries.get("1" * 32) == "whole"
        assert entries.get("0" * 32, "gone") in ("whole", "gone"), (fault, at)
        store.prune(10**9)
    store.wipe()
    assert store.list() == ()
    assert not list(store.root.glob(".gone-*"))
