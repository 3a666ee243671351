"""Pages that a process has read and not sent when it ended: the next one sends them, once.

Each folder is what one machine has copied of a library; a library on a machine has a PACE_HOME.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from file_faults import kill_at_each_operation, memory_folder

from pace_integrations import Corpus, Pace
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.library.page_store import PageStore
from pace_integrations.library.unsent_notes import UnsentNotes
from pace_integrations.model.pages import BlockState
from pace_integrations.store.shared_folder import SharedFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
PROFILE = ReadingProfile(index_layers=(1,))
BLOCKS = ["block0", "block1"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """What is walked are operations; where they take place does not matter."""
    with memory_folder() as folder:
        yield folder


def state(seed: int) -> BlockState:
    random = torch.Generator().manual_seed(seed)
    return BlockState(*(torch.randn(2, 1, 5, 4, generator=random) for _ in "kv"))


def open_store(folder: Path, machine: str) -> PageStore:
    shared = SharedFolder(f"file://{folder}/store")
    return PageStore(folder / machine, "model", packed=False, budget=2**30, shared=shared)


def put(store: PageStore, *numbers: int) -> None:
    for i in numbers:
        vectors = torch.nn.functional.normalize(torch.ones(5, 2, 4), dim=-1)
        store.put(f"doc{i}", {f"block{i}": state(i)}, {f"block{i}": vectors})


def run_and_end(work: Callable[[], object]) -> None:
    """Do some work in a process that ends without clearing up, as if it were killed."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def states_on_store(folder: Path) -> set[str]:
    return {path.name.split("-")[0] for path in folder.glob("store/states/*/*")}


def notes_of(folder: Path) -> list[Path]:
    return [*folder.rglob(".unsent-*")]


def test_killed_at_any_step_what_counts_here_gets_to_the_store(tmp_path: Path) -> None:
    folder, counts = tmp_path / "all", list[int]()
    folder.mkdir()

    def work() -> None:
        store = open_store(folder, "one")
        put(store, 0, 1)
        store.send(must=True)

    for _, at in kill_at_each_operation(work, lambda: None, folder):
        again = open_store(folder, "one")
        for path in folder.glob("one/**/*"):
            assert path.stat().st_mode & 0o077 == 0, (at, path)
        again.refresh(set(BLOCKS))
        here = [key for key in BLOCKS if key in again]
        again.send(must=True)
        other = open_store(folder, "other")
        assert [key for key in BLOCKS if key in other] == here, at
        for key in BLOCKS:
            assert (again.vectors(key) is None) == (other.vectors(key) is None), at
            found = other.load(key)
            assert found is None or torch.equal(found.keys, state(int(key[-1])).keys)
            assert (found is not None) == (key in here), at
        assert not [path for path in notes_of(folder) if path.is_dir()], at
        counts.append(len(here))
    assert len(counts) > 40
    # Once a page counts it is never read again, wherever a process is killed.
    assert counts[0] == counts[-1] == 2
    assert counts[1:] == sorted(counts[1:])
    assert {*counts} == {0, 1, 2}


def test_what_a_living_process_has_in_hand_is_not_sent_twice(tmp_path: Path) -> None:
    one = open_store(tmp_path, "here")
    put(one, 0)
    beside = open_store(tmp_path, "here")
    beside.refresh({"block0"})
    assert "block0" in beside  # nobody on this machine reads it again
    beside.send(must=True)
    assert states_on_store(tmp_path) == set()
    one.send(must=True)
    assert states_on_store(tmp_path) == {"doc0"}
    assert not notes_of(tmp_path)
    assert "block0" in open_store(tmp_path, "other")


def test_what_was_taken_over_and_not_sent_is_taken_over_again(tmp_path: Path) -> None:
    run_and_end(lambda: put(open_store(tmp_path, "here"), 0))
    run_and_end(lambda: open_store(tmp_path, "here").refresh({"block0"}))
    third = open_store(tmp_path, "here")
    third.refresh({"block0"})
    third.send(must=True)
    assert "block0" in open_store(tmp_path, "other")


def test_what_the_library_does_not_hold_any_more_is_not_sent(tmp_path: Path) -> None:
    run_and_end(lambda: put(open_store(tmp_path, "here"), 0, 1))
    again = open_store(tmp_path, "here")
    again.refresh({"block1"})
    again.send(must=True)
    assert states_on_store(tmp_path) == {"doc1"}
    assert [path.name[:4] for path in tmp_path.glob("here/states/*/*.safetensors")] == ["doc1"]
    assert "block0" not in again


def test_what_was_listed_and_wiped_elsewhere_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_and_end() -> None:
        monkeypatch.setattr(UnsentNotes, "discard", lambda self, names: os._exit(0))
        store = open_store(tmp_path, "here")
        put(store, 0)
        store.send(must=True)  # ends when both kinds are noted, and the index is listed
        os._exit(1)

    run_and_end(send_and_end)
    index = [*tmp_path.glob("store/index/*/*")]
    assert index
    other = open_store(tmp_path, "other")
    other.keep_only([], [], ["doc0"])
    again = open_store(tmp_path, "here")
    again.refresh({"block0"})
    assert again.vectors("block0") is None
    again.send(must=True)
    assert not [*tmp_path.glob("store/index/*/*")]
    assert states_on_store(tmp_path) == {"doc0"}  # was never listed, and is wanted


def test_a_copy_of_what_was_removed_meanwhile_goes(tmp_path: Path) -> None:
    one = open_store(tmp_path, "one")
    put(one, 0, 1)
    one.send(must=True)
    run_and_end(lambda: [open_store(tmp_path, "other").load(key) for key in BLOCKS])
    one.keep_only(["block1"], ["doc1"], ["doc0"])
    other = open_store(tmp_path, "other")
    assert "block0" not in other
    assert [path.name[:4] for path in tmp_path.glob("other/states/*/*.safetensors")] == ["doc1"]


def test_a_store_that_does_not_answer_costs_no_copy(tmp_path: Path) -> None:
    one = open_store(tmp_path, "here")
    put(one, 0)
    one.send(must=True)
    shutil.move(tmp_path / "store", tmp_path / "away")
    (tmp_path / "store").write_text("no folder")
    run_and_end(lambda: put(open_store(tmp_path, "here"), 1))
    again = open_store(tmp_path, "here")
    again.refresh(set(BLOCKS))
    assert all(again.load(key) is not None for key in BLOCKS)
    (tmp_path / "store").unlink()
    shutil.move(tmp_path / "away", tmp_path / "store")
    again.refresh(set(BLOCKS))
    again.send(must=True)
    assert states_on_store(tmp_path) == {"doc0", "doc1"}


@pytest.mark.parametrize("how", ["read", "change"])
def test_a_library_reads_no_page_twice_that_was_read_before_a_kill(
    how: str, tmp_path: Path, reader: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny(tmp_path / "model", "llama")
    url = f"file://{tmp_path}/store"
    texts = {f"book{i}": f"Door {i} is oak.\fDoor {i} is tall." for i in range(3)}

    def on_machine(machine: str, pace: Pace = reader) -> Library:
        monkeypatch.setenv("PACE_HOME", str(tmp_path / machine))
        return Library.open(url, pace, profile=PROFILE)

    on_machine("one").add(Corpus.from_texts(texts), read=False)

    def read_and_end() -> None:
        monkeypatch.setattr(PageStore, "send", lambda self, must=False: None)
        assert on_machine("one", Pace.load(model, memory=None)).read_pages([1, 2, 3, 4]) > 0

    run_and_end(read_and_end)
    assert states_on_store(tmp_path) == set()
    assert on_machine("other").unread_pages() == (1, 2, 3, 4, 5, 6)
    on_machine("other").remove("book1")
    again = on_machine("one")
    assert again.unread_pages() == (5, 6)
    if how == "read":
        assert again.read_pages(()) == 0
    else:
        again.add(Corpus.from_texts({"note": "Later."}), read=False)
    third = on_machine("third")
    assert set(third.unread_pages()) - {7} == {5, 6}
    assert third.read_pages([1, 2]) == 0
    assert len(states_on_store(tmp_path)) == 1  # nothing of the book that was removed
