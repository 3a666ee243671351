"""Lists of files on a shared store: joined in time, by any number of writers, and never torn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from pace_integrations.library import shared_parts
from pace_integrations.library.shared_parts import SharedFile, SharedParts
from pace_integrations.store.shared_folder import Seal, SharedFolder

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
FOLDER = "parts/states/model"


def rows(*names: str) -> dict[str, SharedFile]:
    return {name: SharedFile(Seal(len(name), name * 2), (f"block-{name}",)) for name in names}


def open_parts(url: str) -> SharedParts:
    parts = SharedParts(SharedFolder(url), FOLDER)
    parts.refresh()
    return parts


def seen(url: str) -> set[str]:
    return set(open_parts(url).files)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_parts, "_MOST", 4)
    monkeypatch.setattr(shared_parts, "_ROWS", 8)
    monkeypatch.setattr(shared_parts, "_KEPT", 3)


@pytest.mark.usefixtures("_small")
def test_many_parts_become_few_and_list_the_same(url: str) -> None:
    writer = open_parts(url)
    for i in range(50):
        writer.add(rows(f"f{i}"))
    assert writer.files == open_parts(url).files == rows(*(f"f{i}" for i in range(50)))
    names = SharedFolder(url).list(FOLDER)
    parts = [name for name in names if not name.startswith("manifest")]
    assert len(parts) <= 4 + 50 // 8 + 1
    assert len(names) - len(parts) <= 3


def test_few_parts_are_left_alone(url: str) -> None:
    writer = open_parts(url)
    for i in range(5):
        writer.add(rows(f"f{i}"))
    assert len(SharedFolder(url).list(FOLDER)) == 5


@pytest.mark.usefixtures("_small")
def test_two_writers_take_off_what_one_part_lists_and_neither_brings_it_back(url: str) -> None:
    one, other = open_parts(url), open_parts(url)
    one.add(rows("a", "b", "c"))
    other.refresh()
    assert one.remove("a".__eq__) == ["a"]
    assert other.remove("b".__eq__) == ["b"]
    assert other.remove("a".__eq__) == []
    assert seen(url) == set(other.files) == {"c"}
    one.refresh()
    assert set(one.files) == {"c"}
    one.add(rows("a"))  # what was taken off may come again
    assert seen(url) == {"a", "c"}


@pytest.mark.usefixtures("_small")
def test_writers_and_a_reader_at_once_lose_nothing_and_see_nothing_torn(
    url: str, store_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store_kind == "memory":
        pytest.skip("the memory of one process is no place for several writers at once")
    monkeypatch.setattr(shared_parts, "_ATTEMPTS", 64)
    open_parts(url).add(rows("first"))

    def write(who: str) -> None:
        own = open_parts(url)
        for i in range(24):
            own.add(rows(f"{who}{i}"))
            assert f"{who}{i}" in own.files
            if i % 3 == 2:
                own.remove(f"{who}{i - 1}".__eq__)

    def read() -> int:
        own, looks = open_parts(url), 0
        while not all(job.done() for job in jobs):
            own.refresh()
            assert "first" in own.files
            looks += 1
        return looks

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(write, who) for who in "xy"]
        looks = pool.submit(read)
        for job in jobs:
            job.result()
        assert looks.result() > 0
    expected = {f"{who}{i}" for who in "xy" for i in range(24) if i % 3 != 1}
    assert seen(url) == {"first", *expected}


class Ended(BaseException):
    """A writer that is ended on the way."""


def end_at(number: int, work: Callable[[], object], patch: pytest.MonkeyPatch) -> bool:
    """End a writer before one of its operations; False where it has fewer."""
    count = iter(range(number + 1))

    def counting(method: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **options: object) -> object:
            if next(count, None) == number:
                raise Ended
            return method(*args, **options)

        return run

    with patch.context() as during:
        for name in ("read", "create", "write", "list", "remove"):
            during.setattr(SharedFolder, name, counting(getattr(SharedFolder, name)))
        try:
            work()
        except Ended:
            return True
    return False


CHANGES: dict[str, tuple[Callable[[SharedParts], object], Collection[str]]] = {
    "join": (lambda parts: parts.add(rows("f9")), {"f0", "f1", "f2", "f3", "f9"}),
    "remove": (lambda parts: parts.remove("f0".__eq__), {"f1", "f2", "f3"}),
}


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_that_is_ended_anywhere_leaves_the_list_before_or_after(
    change: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, after = CHANGES[change]
    before, found, steps = {"f0", "f1", "f2", "f3"}, [], 0
    while True:
        place = f"{url}/{steps}"
        first = open_parts(place)
        first.add(rows("f0", "f1"))
        first.add(rows("f2"))
        first.add(rows("f3"))
        writer = open_parts(place)
        ended = end_at(steps, lambda own=writer: work(own), monkeypatch)
        found.append(seen(place))
        assert found[-1] in (before, after)
        for name in ("g0", "g1", "g2", "g3", "g4"):  # who comes next completes and clears up
            first.add(rows(name))
        first.remove("g0".__eq__)
        assert seen(place) == found[-1] | {"g1", "g2", "g3", "g4"}
        joined = {n for n in SharedFolder(place).list(FOLDER) if n.startswith("joined")}
        assert joined == set(open_parts(place)._manifest.joined)
        if not ended:
            break
        steps += 1
    assert steps >= 4
    assert before in found
    assert found[-1] == after


@pytest.mark.usefixtures("_small")
def test_a_manifest_that_was_sent_twice_is_ones_own(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SharedFolder.create
    monkeypatch.setattr(
        SharedFolder, "create", lambda *args: real(*args) and real(*args)
    )  # as a request that is sent again after its answer was lost
    parts = open_parts(url)
    parts.add(rows("a", "b"))
    assert parts.remove("a".__eq__) == ["a"]
    assert seen(url) == {"b"}


@pytest.mark.parametrize("what", ["added", "joined", "manifest"])
@pytest.mark.usefixtures("_small")
def test_what_is_damaged_or_gone_lists_nothing_and_the_rest_counts(
    url: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    parts, shared = open_parts(url), SharedFolder(url)
    for i in range(5):
        parts.add(rows(f"f{i}"))
    names = shared.list(FOLDER)
    added = next(name for name in names if not name.startswith(("joined", "manifest")))
    joined = next(name for name in names if name.startswith("joined"))
    if what == "joined":
        shared.remove([f"{FOLDER}/{joined}"])
    else:
        name = added if what == "added" else "manifest-00000001.json"
        shared.write(f"{FOLDER}/{name}", b'{"joined": 5}')
    with caplog.at_level(logging.WARNING):
        left = {"f0", "f1", "f2", "f3"} if what == "added" else {"f4"}
        assert seen(url) == left
    assert "read again" in caplog.text
    again = open_parts(url)
    again.add(rows(*(f"f{i}" for i in range(5))))
    for i in range(4):
        again.add(rows(f"g{i}"))
    assert seen(url) == {*(f"f{i}" for i in range(5)), *(f"g{i}" for i in range(4))}
