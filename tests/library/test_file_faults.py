"""Errors and interrupts at any file operation of a change leave the library before it or after it.

Kills are in `test_crashes.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_faults import LIGHT, disturb_each_operation, memory_folder

from pace_integrations import Corpus, Pace
from pace_integrations.library import Library, ReadingProfile

# An interrupt inside `with open(...)` may leave the file to the garbage collector.
pytestmark = [
    pytest.mark.local_folder("operations on files; test_shared_parts.py has those on objects"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NEXT = 9  # after every so many operations another change is tried too
PROFILE = ReadingProfile(index_layers=(1,))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """What is walked are operations; where they take place does not matter."""
    with memory_folder() as folder:
        yield folder


def texts(*names: str, word: str = "one") -> Corpus:
    return Corpus.from_texts({name: f"{name} says {word}." for name in names})


def contents(library: Library) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for passage in library.passages:
        found.setdefault(passage.document.title, []).append(passage.page.text)
    return found


CHANGES: dict[str, Callable[[Library], object]] = {
    "add": lambda library: library.add(texts("c")),
    "remove": lambda library: library.remove("a"),
    "replace": lambda library: library.replace(texts("a", word="two")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_disturbed_change_leaves_the_library_before_or_after_it(
    change: str, tmp_path: Path, reader: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nobody pulls the plug, and it is slow
    first = Library.open(tmp_path / "first", reader, profile=PROFILE)
    first.add(texts("a", "b"))
    whole = Library.open(shutil.copytree(first.folder, tmp_path / "whole"), reader, profile=PROFILE)
    CHANGES[change](whole)
    before, after, folder = contents(first), contents(whole), tmp_path / "lib"
    opened: list[Library] = []

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(first.folder, folder)
        opened[:] = [Library.open(folder, reader, profile=PROFILE)]

    seen = []
    for fault, at in disturb_each_operation(
        lambda: CHANGES[change](opened[0]),
        prepare,
        LIGHT,
    ):
        again = Library.open(folder, reader, profile=PROFILE)
        now = contents(again)
        assert now in (before, after), (fault, at)
        seen.append(now)
        if at % NEXT == 0:  # the next change succeeds
            CHANGES["add"](again)
            assert "c" in contents(Library.open(folder, reader, profile=PROFILE)), (fault, at)
    assert before in seen
    assert after in seen
