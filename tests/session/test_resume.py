"""Readings that are interrupted keep what was read; the next one goes on from there."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pace_integrations import Corpus, GenerationConfig, Pace, ReadConfig, Session
from pace_integrations.errors import IncompatibleSessionError, SessionFileError
from pace_integrations.store.store import Sessions

SHORT = GenerationConfig(max_new_tokens=8)
CHUNKED = ReadConfig(chunk=64)
NAMES = ("oak", "elm", "ash", "fir", "yew")


def texts(*names: str) -> Corpus:
    return Corpus.from_texts({name: f"The {name} stands near the pond. " * 8 for name in names})


def answer(session: Session) -> str:
    return session.ask("Where is the oak?", generation=SHORT).text


class Interrupt:
    """Progress that interrupts the reading after some of its tokens."""

    def __init__(self, share: float, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.share = share
        self.error = error
        self.dones: list[int] = []

    def __call__(self, done: int, total: int) -> None:
        self.dones.append(done)
        if done >= self.share * total:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("where", ["path", "store"])
def test_an_interrupted_reading_goes_on_where_it_was(
    pace: Pace,
    tmp_path: Path,
    where: str,
    error: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    corpus, whole = texts(*NAMES), pace.read(texts(*NAMES), config=CHUNKED)
    before, pace.sessions = pace.sessions, Sessions(tmp_path / "store")
    place = {"path": tmp_path / "trees.pace"} if where == "path" else {"store": True}
    with pytest.raises(error):
        pace.read(corpus, config=CHUNKED, progress=Interrupt(0.7, error), **place)
    with caplog.at_level(logging.INFO):
        session = pace.read(corpus, config=CHUNKED, **place)
    pace.sessions = before
    assert whole.tokens * 0.4 < session.read_cost.kept < whole.tokens * 0.8
    assert session.read_cost.kept + session.read_cost.read == whole.tokens
    assert f"{session.read_cost.kept} of {whole.tokens} tokens were read before" in caplog.text
    assert answer(session) == answer(whole)
    assert session.corpus == corpus


def test_interrupted_twice_it_goes_on_twice(pace: Pace, tmp_path: Path) -> None:
    corpus, kept = texts(*NAMES), []
    for share in (0.3, 0.5):
        with pytest.raises(KeyboardInterrupt):
            pace.read(
                corpus, config=CHUNKED, progress=Interrupt(share), path=tmp_path / "trees.pace"
            )
    session = pace.read(corpus, config=CHUNKED, path=tmp_path / "trees.pace")
    kept.append(session.read_cost.kept)
    assert session.read_cost.kept > 0.4 * session.tokens
    assert answer(session) == answer(pace.read(corpus))


def test_what_was_whole_stays_whole_until_the_next_is(pace: Pace, tmp_path: Path) -> None:
    path = tmp_path / "trees.pace"
    old = pace.read(texts("oak"), path=path)
    with pytest.raises(KeyboardInterrupt):
        pace.read(texts("yew", "elm", "ash"), config=CHUNKED, progress=Interrupt(0.9), path=path)
    opened = pace.open(path)
    assert opened.corpus == old.corpus
    assert answer(opened) == answer(old)
    session = pace.read(texts("yew", "elm", "ash"), config=CHUNKED, path=path)
    assert session.read_cost.kept > 0
    assert pace.open(path).corpus == session.corpus
    assert not (path / "unfinished").exists()


def test_an_unfinished_reading_does_not_open_as_a_session(pace: Pace, tmp_path: Path) -> None:
    path = tmp_path / "trees.pace"
    with pytest.raises(KeyboardInterrupt):
        pace.read(texts(*NAMES), config=CHUNKED, progress=Interrupt(0.7), path=path)
    with pytest.raises(SessionFileError, match="reading or first save was interrupted"):
        pace.open(path)


def test_more_documents_are_read_after_those_that_are_kept(pace: Pace, tmp_path: Path) -> None:
    path = tmp_path / "trees.pace"
    first = pace.read(texts("oak", "elm"), path=path)
    more = pace.read(texts("oak", "elm", "ash"), path=path)
    assert more.read_cost.kept == first.tokens
    assert answer(more) == answer(pace.read(texts("oak", "elm", "ash")))
    again = pace.read(texts("oak", "elm", "ash"), path=path)
    assert (again.read_cost.read, again.read_cost.kept) == (0, more.tokens)


def test_a_path_of_another_namespace_is_refused_before_reading(pace: Pace, tmp_path: Path) -> None:
    path = tmp_path / "trees.pace"
    alice = pace.read(texts("oak"), path=path, namespace="alice")
    seen = Interrupt(0.0)
    for other in (None, "bob"):
        with pytest.raises(IncompatibleSessionError, match="namespace") as error:
            pace.read(texts("oak"), path=path, namespace=other, progress=seen)
        assert "alice" not in str(error.value)
        with pytest.raises(IncompatibleSessionError, match="namespace"):
            pace.open(path, namespace=other)
    assert seen.dones == []
    assert answer(pace.open(path, namespace="alice")) == answer(alice)


def test_a_saved_copy_stays_in_its_namespace(pace: Pace, tmp_path: Path) -> None:
    pace.read(texts("oak"), namespace="alice").save(tmp_path / "copy.pace")
    with pytest.raises(IncompatibleSessionError, match="namespace"):
        pace.open(tmp_path / "copy.pace")
    assert pace.open(tmp_path / "copy.pace", namespace="alice").namespace == "alice"


def test_what_is_no_session_is_refused_before_reading(pace: Pace, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.txt", tmp_path / "thesis.txt" / "s.pace"):
        seen = Interrupt(0.0)
        with pytest.raises(SessionFileError):
            pace.read(texts("oak"), path=path, progress=seen)
        assert seen.dones == []
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_full_disk_keeps_nothing_and_spoils_nothing(
    pace: Pace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trees.pace"
    old = pace.read(texts("oak"), path=path)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(os, "fsync", full)
        with pytest.raises(SessionFileError, match="No space left"):
            pace.read(texts(*NAMES), config=CHUNKED, path=path)
    assert caplog.text.count("is not kept") == 1
    assert answer(pace.open(path)) == answer(old)


def test_two_readers_of_one_path_read_once(pace: Pace, tmp_path: Path) -> None:
    path, changes = tmp_path / "trees.pace", []

    def read() -> None:
        changes.append(pace.read(texts(*NAMES), config=CHUNKED, path=path).read_cost)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(change.read > 0 for change in changes) == [False, False, True]


READER = """
import os, signal, sys
from pace_integrations import *
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits none
corpus = Corpus.from_texts({n: f"The {n} stands near the pond. " * 8 for n in sys.argv[3:]})
memory = MemoryConfig(step=32, slots=16, layers=(0, 2))
def progress(done, total):
    if done >= 0.7 * total:
        os.kill(os.getpid(), %d)
Pace.load(sys.argv[1], memory=memory).read(
    corpus, config=ReadConfig(chunk=64), path=sys.argv[2], progress=progress)
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_leaves_what_it_kept(
    pace: Pace, tiny_path: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    path = tmp_path / "trees.pace"
    arguments = [sys.executable, "-c", READER % kind, tiny_path, path, *NAMES]
    killed = subprocess.run(arguments, capture_output=True, check=False)
    assert killed.returncode in (-kind, 130)
    session = pace.read(texts(*NAMES), config=CHUNKED, path=path)
    # Ctrl-C keeps all whole documents; a kill at least the first boundary that was kept.
    assert session.read_cost.kept > (0.4 if kind == signal.SIGINT else 0.0) * session.tokens
    assert answer(session) == answer(pace.read(texts(*NAMES)))


def reported(session: Session) -> list[tuple[str, str, int | None]]:
    assert session.corpus is not None
    return [(file.path, file.status, file.tokens) for file in session.corpus.report.files]


class Slow:
    """Progress that is much slower than the reading, and then interrupts it."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, done: int, total: int) -> None:
        time.sleep(0.05)
        self.calls -= 1
        if not self.calls:
            raise KeyboardInterrupt


@pytest.mark.parametrize("calls", [1, 3, 5])
def test_a_reading_interrupted_in_a_slow_callback_keeps_its_report(
    pace: Pace, tmp_path: Path, calls: int
) -> None:
    path, whole = tmp_path / "trees.pace", pace.read(texts(*NAMES), config=CHUNKED)
    with pytest.raises(KeyboardInterrupt):
        pace.read(texts(*NAMES), config=CHUNKED, progress=Slow(calls), path=path)
    session = pace.read(texts(*NAMES), config=CHUNKED, path=path)
    again = pace.read(texts(*NAMES), config=CHUNKED, path=path)
    for read in (session, pace.open(path), again):
        assert reported(read) == reported(whole)
        assert len(reported(read)) == len(NAMES)


def test_an_interrupted_callback_stops_the_reading_after_the_current_chunk(
    pace: Pace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's thread is a chunk ahead of who watches, and no further."""
    done: list[int] = []
    real = pace._engine.read

    def counted(*args: object, **kwargs: object) -> Iterator[int]:
        for step in real(*args, **kwargs):
            done.append(step)
            yield step

    monkeypatch.setattr(pace._engine, "read", counted)
    with pytest.raises(KeyboardInterrupt):
        pace.read(texts(*NAMES), config=ReadConfig(chunk=16), progress=Slow(4))
    time.sleep(0.2)
    assert 4 <= len(done) <= 5
    session = pace.read(texts("oak"))  # the thread goes on with others
    assert answer(session)
