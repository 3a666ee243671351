"""Killed at any step of any change a library opens whole, and processes change it side by side."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import save_tiny
from file_faults import EVERY_STEP

from pace_integrations import Corpus, Pace
from pace_integrations.library import Library, ReadingProfile

PROFILE = ReadingProfile(index_layers=(1,))
# All that `_files` and pathlib do to names and to what is on disk.
STEPS = ("open", "mkdir", "replace", "fsync", "unlink")


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


def kill_at(step: int) -> None:
    """Kill this process at the n-th time it touches the disk."""
    left = [step]

    def counted(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in STEPS:
        setattr(os, name, counted(name))


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
    outcomes = set()
    first = Library.open(tmp_path / "first", reader, profile=PROFILE)
    first.add(texts("a", "b"))
    before = contents(first)
    stride = 1 if EVERY_STEP else 2 if change == "add" else 3
    for step in range(0, 200, stride):
        folder = Path(shutil.copytree(first.folder, tmp_path / str(step)))

        def work(folder: Path = folder, step: int = step) -> None:
            library = open_library(folder, model)
            kill_at(step)
            CHANGES[change](library)

        _, status = os.waitpid(in_child(work), 0)
        opened = Library.open(folder, reader, profile=PROFILE)
        now = contents(opened)
        # The change can be made again, and gives numbers that nothing else ever had.
        CHANGES["add"](opened)
        after = contents(opened)
        given = {pair for pages in (before, now, after) for own in pages.values() for pair in own}
        assert len({number for number, _ in given}) == len(given)
        assert opened.stats().unread == 0
        outcomes.add((now == before, now["b"] == before["b"]))
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    else:
        pytest.fail("the change never came to its end")
    assert step > 8
    assert outcomes == {(True, True), (False, True)}


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
