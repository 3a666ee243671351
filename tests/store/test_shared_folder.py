"""Objects on a shared store, of each kind: whole or absent, and taken by one writer alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pace_integrations.errors import ConfigError
from pace_integrations.store.shared_folder import DamagedObjectError, Seal, SharedFolder, is_url

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])


def test_what_is_written_is_read_listed_and_removed(url: str, tmp_path: Path) -> None:
    shared = SharedFolder(url)
    assert shared.list("a") == []
    shared.write("a/one", b"1")
    shared.write("a/one", b"2")
    shared.write("a/b/two", b"3")
    assert SharedFolder(url).read("a/one") == b"2"
    assert shared.list("a") == ["b", "one"]
    assert shared.read_all(["a/one", "a/none", "a/b/two"]) == {"a/one": b"2", "a/b/two": b"3"}
    shared.remove(["a/one", "a/none"])
    assert shared.list("a") == ["b"]
    with pytest.raises(FileNotFoundError):
        shared.read("a/one")


def test_a_name_is_taken_once(url: str) -> None:
    shared = SharedFolder(url)
    assert shared.create("list/1", b"mine")
    assert not SharedFolder(url).create("list/1", b"other")
    assert shared.read("list/1") == b"mine"


def test_of_many_writers_at_once_one_takes_a_name(url: str, store_kind: str) -> None:
    if store_kind == "memory":
        pytest.skip("the memory of one process is no place for several")
    folders = [SharedFolder(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for turn in range(5):
            names, own = [f"n/{turn}"] * 8, [b"%d" % i for i in range(8)]
            took = [*pool.map(SharedFolder.create, folders, names, own)]
            assert took.count(True) == 1
            assert folders[0].read(f"n/{turn}") == b"%d" % took.index(True)


def test_a_copy_is_checked_and_replaces_nothing_when_it_is_wrong(url: str, tmp_path: Path) -> None:
    shared = SharedFolder(url)
    source, copy = tmp_path / "source", tmp_path / "copies" / "copy"
    source.write_bytes(b"content" * 1000)
    seal = Seal.of_file(source)
    shared.upload({"x/y": source})
    shared.download("x/y", copy, seal)
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_mode & 0o077 == 0
    shared.write("x/y", b"contenT" * 1000)
    with pytest.raises(DamagedObjectError):
        shared.download("x/y", copy, seal)
    with pytest.raises(FileNotFoundError):
        shared.download("x/z", copy, seal)
    assert copy.read_bytes() == source.read_bytes()
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_an_address_that_nothing_opens_says_so() -> None:
    with pytest.raises(ConfigError, match="fsspec"):
        SharedFolder("nosuch://bucket/folder")


@pytest.mark.parametrize(
    ("place", "expected"),
    [("s3://b/x", True), ("a/b", False), (Path("s3:/b"), False), ("c:", False)],
)
def test_addresses_are_told_from_paths(place: str | Path, expected: bool) -> None:
    assert is_url(place) is expected


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else(url: str) -> None:
    shared = SharedFolder(url)
    shared.remove_folder("a")
    for name in ("a/one", "a/b/two", "ab", "c/three"):
        shared.write(name, b"1")
    shared.remove_folder("a")
    assert shared.list("") == ["ab", "c"]
    assert shared.list("a") == []
    assert shared.read("c/three") == b"1"
