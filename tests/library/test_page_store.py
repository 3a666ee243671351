"""States on disk: whole or absent, checked when used, and no more than the budget.

On a store that several machines share, each page store here is on a machine of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from shared_stores import SHARED, new_url, set_up_store

from pace_integrations.library.page_store import PageStore
from pace_integrations.library.state_files import hash_tensors
from pace_integrations.model.pages import BlockState
from pace_integrations.store.shared_folder import SharedFolder

DTYPES = [torch.float32, torch.bfloat16]


def state(seed: int, tokens: int = 20, dtype: torch.dtype = torch.float32) -> BlockState:
    random = torch.Generator().manual_seed(seed)
    return BlockState(*(torch.randn(3, 2, tokens, 8, generator=random).to(dtype) for _ in "kv"))


def vectors(seed: int) -> torch.Tensor:
    found = torch.randn(16, 4, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(found, dim=-1)


class Place:
    """Where the page stores of a test lie.

    Attributes:
        shared: Where several machines reach them, or None for a folder.
    """

    def __init__(self, folder: Path, url: str | None) -> None:
        self.shared = SharedFolder(url) if url is not None else None
        self._folder = folder
        self._machines = iter(range(99))

    def open(self, *, packed: bool = False, budget: int = 2**30, model: str = "model") -> PageStore:
        """Open one in another process, or on another machine."""
        folder = self._folder / (f"machine{next(self._machines)}" if self.shared else "lib")
        return PageStore(folder, model, packed=packed, budget=budget, shared=self.shared)

    def list_objects(self, store: PageStore) -> set[str]:
        """The names of states where they are kept for good."""
        if self.shared is None:
            return {path.name for path in list_files(store)}
        return set(self.shared.list("states/model"))

    def change(self, store: PageStore, name: str, change: Callable[[bytes], bytes]) -> None:
        """Change a file of states where it is kept for good; make it where there is none."""
        path = store.folder / "states/model" / name
        if self.shared is None:
            path.write_bytes(change(path.read_bytes() if path.exists() else b""))
        else:
            place = f"states/model/{name}"
            found = self.shared.read_all([place]).get(place, b"")
            self.shared.write(place, change(found))


@pytest.fixture(params=["folder", *SHARED])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    set_up_store(request.param, monkeypatch)
    shared = request.param != "folder"
    return Place(tmp_path, new_url(request.param, tmp_path / "remote") if shared else None)


def list_files(store: PageStore) -> list[Path]:
    """The files of states on this machine."""
    return sorted((store.folder / "states/model").glob("*.safetensors"))


def put(store: PageStore, *args: object) -> None:
    store.put(*args)
    store.send(must=True)


def fill(store: PageStore, count: int = 4) -> PageStore:
    for i in range(count):
        put(store, f"doc{i}", {f"block{i}": state(i)}, {f"block{i}": vectors(i)})
    return store


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_comes_back_has_the_bits_that_went_in(place: Place, dtype: torch.dtype) -> None:
    blocks = {f"b{i}": state(i, 10 + i, dtype) for i in range(3)}
    put(place.open(), "doc", blocks, {"b0": vectors(0)})
    opened = place.open()
    for key, block in blocks.items():
        found = opened.load(key)
        assert found is not None
        assert torch.equal(found.keys, block.keys)
        assert torch.equal(found.values, block.values)
    assert "b3" not in opened
    assert opened.load("b3") is None
    index = opened.vectors("b0")
    assert index is not None
    torch.testing.assert_close(index.float() / 127, vectors(0), atol=1 / 250, rtol=0)
    assert opened.vectors("b1") is None


def test_packed_states_take_about_half_and_come_back_nearly(place: Place) -> None:
    block = state(0, 200, torch.bfloat16)
    sizes = {}
    for packed in (False, True):
        store = place.open(packed=packed, model=f"model-{packed}")
        put(store, "doc", {"b": block}, {})
        sizes[packed] = store.size().state_bytes
        found = place.open(packed=packed, model=f"model-{packed}").load("b")
        assert found is not None
        assert found.keys.dtype is torch.bfloat16
        torch.testing.assert_close(found.keys.float(), block.keys.float(), atol=0.03, rtol=0.02)
    assert sizes[True] < 0.7 * sizes[False]  # heads of 8 channels carry a scale each


def test_nobody_else_may_read_what_lies_on_this_machine(place: Place) -> None:
    writer = fill(place.open())
    reader = place.open()
    assert reader.load("block1") is not None
    for folder in {writer.folder, reader.folder}:
        assert list_files(writer)
        for path in folder.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_changed_byte_makes_the_page_be_read_again(place: Place) -> None:
    store = fill(place.open(), 2)
    (name,) = (n for n in place.list_objects(store) if n.startswith("doc0-"))
    place.change(store, name, lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    opened = place.open()
    assert opened.load("block0") is None
    assert not (opened.folder / "states/model" / name).exists()
    assert opened.load("block1") is not None
    put(opened, "doc0", {"block0": state(0)}, {})
    assert place.open().load("block0") is not None


def test_bytes_are_hashed_once_and_again_after_a_change(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []

    def count(tensors: Sequence[torch.Tensor]) -> str:
        hashed.append(len(tensors))
        return hash_tensors(tensors)

    monkeypatch.setattr("pace_integrations.library.tensor_shelf.hash_tensors", count)
    fill(place.open(), 2)
    store = place.open()
    for _ in range(3):
        assert store.load("block0") is not None
    assert len(hashed) == 1
    (path,) = (path for path in list_files(store) if path.name.startswith("doc0-"))
    with path.open("r+b") as file:  # in place, where it is mapped
        file.seek(-5, os.SEEK_END)
        file.write(b"other")
    found = store.load("block0")
    assert len(hashed) > 1
    if place.shared is None:
        assert found is None
    else:
        assert found is not None
        assert torch.equal(found.keys, state(0).keys)


def test_a_changed_byte_of_a_copy_makes_it_be_copied_again(place: Place) -> None:
    if place.shared is None:
        pytest.skip("there are no copies")
    fill(place.open(), 2)
    machine = place.open()
    assert machine.load("block0") is not None
    (path,) = list_files(machine)
    path.write_bytes(path.read_bytes()[:-5] + b"other")
    found = PageStore(
        machine.folder, "model", packed=False, budget=2**30, shared=place.shared
    ).load("block0")
    assert found is not None
    assert torch.equal(found.keys, state(0).keys)


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"junk" * 100])
def test_a_file_that_is_none_is_passed_over(place: Place, content: bytes) -> None:
    store = fill(place.open(), 1)
    place.change(store, "doc9-0.safetensors", lambda _: content)
    assert place.open().load("block0") is not None


def test_what_was_used_longest_ago_goes_first(place: Place) -> None:
    store = fill(place.open(), 4)
    for i, path in enumerate(list_files(store)):
        os.utime(path, (1000 + i, 1000 + i))
    assert store.load("block0") is not None  # used now
    one = store.size().state_bytes // 4
    store.budget = 2 * one + one // 2
    assert store.prune() == 2 * one
    assert [path.name.split("-")[0] for path in list_files(store)] == ["doc0", "doc3"]
    fetched = place.shared is not None  # from there they come again
    assert [f"block{i}" in store for i in range(4)] == [True, fetched, fetched, True]
    assert (store.load("block1") is not None) is fetched
    assert store.vectors("block1") is not None  # the index is no cache


def test_another_process_sees_what_was_written_and_what_was_removed(place: Place) -> None:
    one, other = place.open(), place.open()
    fill(one)
    assert "block2" not in other
    other.refresh()
    assert other.load("block2") is not None
    one.wipe()
    other.refresh()
    assert "block2" not in other
    assert other.load("block2") is None
    assert other.vectors("block2") is not None


def test_removed_documents_leave_nothing(place: Place) -> None:
    store = fill(place.open(), 3)
    put(place.open(model="other"), "doc1", {"x": state(9)}, {})
    store.keep_only(["block0"], ["doc0"], ["doc1", "doc2"])
    left = {path.name.split("-")[0] for path in store.folder.rglob("*.safetensors")}
    assert left == {"doc0"}
    if place.shared is not None:
        kinds = ("states/model", "states/other", "index/model")
        found = {name.split("-")[0] for kind in kinds for name in place.shared.list(kind)}
        assert found == {"doc0"}
    assert "x" not in place.open(model="other")


def test_what_a_killed_process_left_goes_after_an_hour(place: Place) -> None:
    store = fill(place.open(), 1)
    folder = store.folder / "states/model"
    young, old = (folder / f".doc-{age}.tmp" for age in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    past = time.time() - 7200
    os.utime(old, (past, past))
    PageStore(store.folder, "model", packed=False, budget=2**30, shared=place.shared)
    assert young.exists()
    assert not old.exists()
