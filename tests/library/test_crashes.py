"""Killed at any step of any change a library opens whole, and processes change it side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkpoints import save_tiny
from file_faults import kill_at_each_operation, memory_folder

from pace_integrations import Corpus, Pace
from pace_integrations.library import Library, ReadingProfile

pytestmark = pytest.mark.local_folder(
    "operations on files; test_shared_parts.py has those on objects"
)
PROFILE = ReadingProfile(index_layers=(1,))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """What is walked are operations; where they take place does not matter."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("llama"), "llama")


def texts(*names: str, word: str = "one") -> Corpus:
    return Corpus.from_texts({name: f"{name} says {word}.\f{name} ends." for name in names})


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; gives its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def open_library(folder: Path, model: Path) -> Library:
    return Library.open(folder, Pace.load(model, memory=None), profile=PROFILE)


def contents(library: Library) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for passage in library.passages:
        found.setdefault(passage.document.title, []).append((passage.number, passage.page.text))
    return found


CHANGES: dict[str, Callable[[Library], object]] = {
    "add": lambda library: library.add(texts("c")),
    "remove": lambda library: library.remove("a"),
    "replace": lambda library: library.replace(texts("a", word="two")),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_any_step_the_library_is_as_before_or_as_after(
    change: str, tmp_path: Path, model: Path, reader: Pace
) -> None:
    folder, outcomes = tmp_path / "lib", []
    first = Library.open(folder, reader, profile=PROFILE)
    first.add(texts("a", "b"))
    before = contents(first)

    def work() -> None:
        CHANGES[change](open_library(folder, model))

    for _, at in kill_at_each_operation(work, lambda: None, folder):
        opened = Library.open(folder, reader, profile=PROFILE)
        now = contents(opened)
        # The change can be made again, and gives numbers that nothing else ever had.
        CHANGES["add"](opened)
        after = contents(opened)
        given = {pair for pages in (before, now, after) for own in pages.values() for pair in own}
        assert len({number for number, _ in given}) == len(given), at
        assert opened.stats().unread == 0, at
        outcomes.append((now == before, now["b"] == before["b"]))
    assert len(outcomes) > 8
    assert {*outcomes} == {(True, True), (False, True)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_add_at_once_both_complete(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "lib"

    def work(name: str) -> None:
        library = open_library(folder, model)
        for i in range(5):
            library.add(texts(f"{name}{i}"))

    children = [in_child(lambda name=name: work(name)) for name in "xyz"]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    library = open_library(folder, model)
    held = contents(library)
    assert sorted(held) == sorted(f"{name}{i}" for name in "xyz" for i in range(5))
    numbers = [number for pages in held.values() for number, _ in pages]
    assert sorted(numbers) == list(range(1, 31))
    assert library.stats().unread == 0
    assert library.add(texts("x0")).read == 0
    library.pace.close()
