"""A library follows a folder: what comes, changes and goes there comes, changes and goes here."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pace_integrations import Pace
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.library import Library, LibraryChange, ReadingProfile

SOON = 0.02  # seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "papers"
    made.mkdir()
    (made / "a.txt").write_text("The harbor has a bell.")
    return made


@pytest.fixture
def library(tmp_path: Path, reader: Pace) -> Library:
    return Library.open(tmp_path / "lib", reader, profile=ReadingProfile(index_layers=(1,)))


def stamp(path: Path, text: str, seconds: int) -> None:
    """Write a file whose time differs from the one before, whatever the clock's step."""
    path.write_text(text)
    os.utime(path, (seconds, seconds))


def follow(library: Library, folder: Path, stop: threading.Event) -> Iterator[LibraryChange]:
    return library.watch(folder, interval=SOON, stop=stop)


def test_files_that_come_change_and_go_are_followed(library: Library, folder: Path) -> None:
    stop = threading.Event()
    changes = follow(library, folder, stop)
    assert next(changes).added == ("a.txt",)
    stamp(folder / "b.txt", "The castle has a door.", 10)
    assert next(changes).added == ("b.txt",)
    stamp(folder / "b.txt", "The castle has a gate.", 20)
    change = next(changes)
    assert (change.replaced, change.unchanged) == (("b.txt",), 1)
    assert change.read > 0
    (folder / "a.txt").unlink()
    assert next(changes).removed == ("a.txt",)
    assert [document.title for document in library.documents] == ["b.txt"]
    stop.set()
    assert list(changes) == []


def test_a_file_is_read_once_it_is_written_to_its_end(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    changes = follow(library, folder, stop)
    next(changes)
    looks: list[int] = []
    real = stop.wait

    def wait(seconds: float) -> bool:
        looks.append(len(looks))
        if len(looks) <= 4:  # it grows from look to look
            stamp(folder / "b.txt", "The castle has a door. " * len(looks), 10 + len(looks))
        return real(0)

    monkeypatch.setattr(stop, "wait", wait)
    change = next(changes)
    assert change.added == ("b.txt",)
    assert len(looks) == 5
    (page,) = next(d for d in library.documents if d.title == "b.txt").pages
    assert page.text.count("castle") == 4


def test_a_folder_that_is_gone_takes_no_document_along(library: Library, folder: Path) -> None:
    stop = threading.Event()
    changes = follow(library, folder, stop)
    next(changes)
    away = folder.with_name("away")
    shutil.move(folder, away)
    found: list[LibraryChange] = []
    worker = threading.Thread(target=lambda: found.extend(changes), daemon=True)
    worker.start()
    stop.wait(10 * SOON)
    assert [document.title for document in library.documents] == ["a.txt"]
    stamp(away / "b.txt", "The castle has a door.", 10)
    shutil.move(away, folder)
    for _ in range(500):
        if found:
            break
        stop.wait(SOON)
    stop.set()
    worker.join()
    assert [change.added for change in found] == [("b.txt",)]


def test_what_cannot_be_followed_is_refused(library: Library, folder: Path) -> None:
    with pytest.raises(DocumentError, match="is no folder"):
        next(library.watch(folder / "nowhere"))
    with pytest.raises(ConfigError, match="interval"):
        library.watch(folder, interval=0)
