"""States on disk: whole or absent, checked when used, and no more than the budget."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from pace_integrations.library.page_store import PageStore
from pace_integrations.model.pages import BlockState

DTYPES = [torch.float32, torch.bfloat16]


def state(seed: int, tokens: int = 20, dtype: torch.dtype = torch.float32) -> BlockState:
    random = torch.Generator().manual_seed(seed)
    return BlockState(*(torch.randn(3, 2, tokens, 8, generator=random).to(dtype) for _ in "kv"))


def vectors(seed: int) -> torch.Tensor:
    found = torch.randn(16, 4, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(found, dim=-1)


def make(folder: Path, *, packed: bool = False, budget: int = 2**30) -> PageStore:
    return PageStore(folder, "model", packed=packed, budget=budget)


def fill(store: PageStore, count: int = 4) -> None:
    for i in range(count):
        store.put(f"doc{i}", {f"block{i}": state(i)}, {f"block{i}": vectors(i)})


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_comes_back_has_the_bits_that_went_in(tmp_path: Path, dtype: torch.dtype) -> None:
    blocks = {f"b{i}": state(i, 10 + i, dtype) for i in range(3)}
    make(tmp_path).put("doc", blocks, {"b0": vectors(0)})
    opened = make(tmp_path)
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


def test_packed_states_take_about_half_and_come_back_nearly(tmp_path: Path) -> None:
    block = state(0, 200, torch.bfloat16)
    sizes = {}
    for packed in (False, True):
        store = make(tmp_path / str(packed), packed=packed)
        store.put("doc", {"b": block}, {})
        sizes[packed] = store.size().state_bytes
        found = store.load("b")
        assert found is not None
        assert found.keys.dtype is torch.bfloat16
        torch.testing.assert_close(found.keys.float(), block.keys.float(), atol=0.03, rtol=0.02)
    assert sizes[True] < 0.7 * sizes[False]  # heads of 8 channels carry a scale each


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    fill(make(tmp_path / "lib"))
    for path in (tmp_path / "lib").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_changed_byte_makes_the_page_be_read_again(tmp_path: Path) -> None:
    store = make(tmp_path)
    fill(store, 2)
    path = next((tmp_path / "states/model").glob("doc0-*"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    opened = make(tmp_path)
    assert opened.load("block0") is None
    assert not path.exists()
    assert opened.load("block1") is not None


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"junk" * 100])
def test_a_file_that_is_none_is_passed_over(tmp_path: Path, content: bytes) -> None:
    fill(make(tmp_path), 1)
    (tmp_path / "states/model/doc9-0.safetensors").write_bytes(content)
    assert make(tmp_path).load("block0") is not None


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = make(tmp_path)
    fill(store, 4)
    for i, path in enumerate(sorted((tmp_path / "states/model").glob("*.safetensors"))):
        os.utime(path, (1000 + i, 1000 + i))
    assert store.load("block0") is not None  # used now
    one = store.size().state_bytes // 4
    store.budget = 2 * one + one // 2
    assert store.prune() == 2 * one
    assert [f"block{i}" in store for i in range(4)] == [True, False, False, True]
    assert store.vectors("block1") is not None  # the index is no cache


def test_another_process_sees_what_was_written_and_what_was_removed(tmp_path: Path) -> None:
    one, other = make(tmp_path), make(tmp_path)
    fill(one)
    assert "block2" not in other
    other.refresh()
    assert other.load("block2") is not None
    one.wipe()
    other.refresh()
    assert "block2" not in other
    assert other.load("block2") is None
    assert other.vectors("block2") is not None


def test_removed_documents_leave_nothing(tmp_path: Path) -> None:
    store = make(tmp_path)
    fill(store, 3)
    PageStore(tmp_path, "other", packed=False, budget=2**30).put("doc1", {"x": state(9)}, {})
    store.keep_only(["block0"], ["doc0"])
    left = {path.name.split("-")[0] for path in tmp_path.rglob("*.safetensors")}
    assert left == {"doc0"}


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path: Path) -> None:
    fill(make(tmp_path), 1)
    young, old = (tmp_path / "states/model" / f".doc-{age}.tmp" for age in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half")
    past = time.time() - 7200
    os.utime(old, (past, past))
    make(tmp_path)
    assert young.exists()
    assert not old.exists()
