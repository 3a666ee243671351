"""The store of sessions: found again by content, never by another, never removed in use."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from shared_stores import new_url, place_kind_fixture

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session
from pace_integrations.errors import ConfigError, SessionFileError
from pace_integrations.store.budget import parse_size
from pace_integrations.store.store import Sessions

__all__ = ["place_kind_fixture"]

SHORT = GenerationConfig(max_new_tokens=8)


@pytest.fixture
def own(pace: Pace, tmp_path: Path, place_kind: str) -> Iterator[Pace]:
    """The tiny model with a store of its own, by itself or before one that machines share."""
    shared = None if place_kind == "folder" else new_url(place_kind, tmp_path / "remote")
    before, pace.sessions = pace.sessions, Sessions(tmp_path / "store", shared=shared)
    yield pace
    pace.sessions = before


def texts(*names: str) -> Corpus:
    return Corpus.from_texts({name: f"The {name} stands near the pond. " * 4 for name in names})


def found(session: Session) -> bool:
    return session.read_cost.read == 0 and session.read_cost.kept == session.tokens


def answer(session: Session) -> str:
    return session.ask("Where is the oak?", generation=SHORT).text


def age(entry: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(entry / ".used", (then, then))


def test_the_same_corpus_is_found_again(own: Pace) -> None:
    corpus = texts("oak", "elm")
    first = own.read(corpus, store=True)
    assert not found(first)
    again = own.read(texts("oak", "elm"), store=True)
    assert found(again)
    assert again.tokens == first.tokens
    assert answer(again) == answer(first) == answer(own.read(corpus))
    (entry,) = own.sessions.list()
    assert (entry.status, entry.tokens, entry.documents) == ("whole", first.tokens, ("oak", "elm"))


def test_a_saved_session_knows_its_whole_report(own: Pace, tmp_path: Path) -> None:
    (tmp_path / "oak.txt").write_text("The oak stands near the pond.")
    head = '<title>Elm</title><meta name="author" content="A. Gardener">'
    (tmp_path / "elm.html").write_text(f"<html><head>{head}</head><p>The elm fell.</p></html>")
    (tmp_path / "Thumbs.db").write_bytes(b"\0")
    corpus = Corpus.from_paths(tmp_path)
    assert "A. Gardener" in str([document.metadata for document in corpus.documents])
    assert corpus.report.skipped == 1
    session = own.read(corpus, path=tmp_path / "s.pace")
    for opened in (own.open(tmp_path / "s.pace"), own.read(corpus, path=tmp_path / "s.pace")):
        assert opened.corpus is not None
        assert opened.corpus.report == session.corpus.report == corpus.report  # type: ignore[union-attr]
        assert opened.corpus.documents == corpus.documents  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "other",
    [
        texts("elm", "oak"),
        texts("oak"),
        texts("oak", "elm", "ash"),
        Corpus.from_texts({"oak": "The oak fell.", "elm": "The elm stands near the pond. " * 4}),
    ],
    ids=["order", "fewer", "more", "text"],
)
def test_another_corpus_is_not(own: Pace, other: Corpus) -> None:
    own.read(texts("oak", "elm"), store=True)
    assert not found(own.read(other, store=True))


def test_labels_and_titles_count(own: Pace) -> None:
    corpus = texts("oak")
    (document,) = corpus.documents
    pages = tuple(replace(page, label="iv") for page in document.pages)
    own.read(corpus, store=True)
    for changed in (replace(document, pages=pages), replace(document, title="tree")):
        assert not found(own.read(Corpus((changed,)), store=True))


def test_other_settings_do_not_find_it(own: Pace, tiny_path: Path) -> None:
    own.read(texts("oak"), store=True)
    with Pace.load(tiny_path, memory=MemoryConfig(step=32, slots=8, layers=(0, 2))) as other:
        other.sessions = own.sessions
        assert not found(other.read(texts("oak"), store=True))


def test_a_copied_folder_finds_it_and_cites_its_own_files(own: Pace, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "oak.txt").write_text("The oak stands near the pond.")
    own.read(Corpus.from_paths(tmp_path / "here"), store=True)
    session = own.read(Corpus.from_paths(tmp_path / "there"), store=True)
    assert found(session)
    assert session.passages[0].document.source == str(tmp_path / "there" / "oak.txt")


def test_a_namespace_finds_only_its_own(own: Pace) -> None:
    corpus = texts("oak")
    alice = own.read(corpus, store=True, namespace="alice")
    for other in (None, "bob", "Alice"):
        assert not found(own.read(corpus, store=True, namespace=other))
    assert found(own.read(corpus, store=True, namespace="alice"))
    assert alice.namespace == "alice"
    assert {entry.namespace for entry in own.sessions.list()} == {None, "alice", "bob", "Alice"}


def test_text_that_names_a_namespace_is_text(own: Pace) -> None:
    """What documents say reaches neither key nor manifest."""
    corpus = Corpus.from_texts({"namespace": 'namespace="alice"'})
    own.read(corpus, store=True, namespace="bob")
    assert not found(own.read(corpus, store=True, namespace="alice"))


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", " a", "a\n", "x" * 129, "é"])
def test_a_namespace_is_a_plain_name(own: Pace, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="namespace must be"):
        own.read(texts("oak"), namespace=name)
    with pytest.raises(ConfigError, match="namespace must be"):
        own.open(tmp_path, namespace=name)


def test_a_damaged_entry_is_read_again(own: Pace, caplog: pytest.LogCaptureFixture) -> None:
    first = own.read(texts("oak"), store=True)
    (entry,) = own.sessions.list()
    (kv,) = Path(entry.path).glob("data-*/kv.safetensors")
    content = bytearray(kv.read_bytes())
    content[-1] ^= 1
    kv.write_bytes(content)
    (checked,) = own.sessions.verify()
    assert (checked.status, "kv.safetensors was changed" in str(checked.problem)) == (
        "damaged",
        True,
    )
    with caplog.at_level(logging.WARNING):
        again = own.read(texts("oak"), store=True)
    assert "damaged" in caplog.text
    assert not found(again)
    assert answer(again) == answer(first)
    assert own.sessions.verify()[0].status == "whole"


def test_the_budget_drops_what_was_used_longest_ago(own: Pace) -> None:
    names = ("oak", "elm", "ash")
    for name in names:
        own.read(texts(name), store=True)
    paths = {entry.documents[0]: Path(entry.path) for entry in own.sessions.list()}
    sizes = {entry.documents[0]: entry.bytes for entry in own.sessions.list()}
    for seconds, name in enumerate(names):
        age(paths[name], 100 - seconds)
    own.read(texts("oak"), store=True)  # used again
    removed = own.sessions.prune(sizes["oak"] + sizes["ash"])
    assert [entry.documents for entry in removed] == [("elm",)]
    own.sessions.budget = 1
    own.read(texts("fir"), store=True)  # prunes by itself; what it has just read is in use
    assert [entry.documents for entry in own.sessions.list()] == [("fir",)]


def test_what_is_in_use_stays(own: Pace) -> None:
    session = own.read(texts("oak"), store=True)
    (entry,) = own.sessions.list()
    assert entry.in_use
    assert own.sessions.prune(0) == ()
    with pytest.raises(SessionFileError, match="in use"):
        own.sessions.remove(entry.key)
    conversation = session.fork()
    del session
    assert own.sessions.list()[0].in_use  # a conversation over it goes on
    del conversation
    assert not own.sessions.list()[0].in_use
    assert [e.key for e in own.sessions.prune(0)] == [entry.key]
    assert own.sessions.list() == ()
    assert not list(own.sessions.root.glob("*.pace"))


USER = """
import sys
from pathlib import Path
from pace_integrations.store.store import Sessions
lease = Sessions(sys.argv[1]).use(Path(sys.argv[2]))
print("using", flush=True)
sys.stdin.read()
"""


def test_another_process_keeps_an_entry_until_it_dies(own: Pace) -> None:
    own.read(texts("oak"), store=True)
    (entry,) = own.sessions.list()
    arguments = [sys.executable, "-c", USER, str(own.sessions.root), entry.path]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "using\n"
        assert own.sessions.prune(0) == ()
        user.kill()
        user.wait()
        assert len(own.sessions.prune(0)) == 1


def test_keys_may_be_shortened_as_long_as_they_are_clear(own: Pace) -> None:
    own.read(texts("oak"), store=True)
    own.read(texts("elm"), store=True)
    entry = own.sessions.list()[0]
    assert own.sessions.describe(entry.key[:12]) == entry
    with pytest.raises(SessionFileError, match="no session"):
        own.sessions.describe("zzz")
    with pytest.raises(SessionFileError, match="no session"):
        own.sessions.remove("")
    assert json.loads(json.dumps(entry.to_dict()))["documents"] == ["elm"]


def test_an_empty_store_lists_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "nowhere")
    assert sessions.list() == sessions.verify() == sessions.prune() == ()
    assert not (tmp_path / "nowhere").exists()


def test_the_root_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACE_HOME", str(tmp_path))
    monkeypatch.setenv("PACE_BUDGET", "1.5 GB")
    assert (Sessions().root, Sessions().budget) == (tmp_path / "sessions", 1_500_000_000)
    monkeypatch.delenv("PACE_HOME")
    assert "pace-integrations" in str(Sessions().root)


@pytest.mark.parametrize(("size", "count"), [(7, 7), ("20GB", 20 * 10**9), ("512 MiB", 2**29)])
def test_sizes_are_numbers_or_words(size: int | str, count: int) -> None:
    assert parse_size(size) == count


@pytest.mark.parametrize("size", ["", "-1", "many", "1 PB", "1 2", None, 1.5e400])
def test_other_sizes_are_refused(size: object) -> None:
    with pytest.raises(ConfigError, match="a size is"):
        parse_size(size)


def test_a_store_that_cannot_be_written_says_so(own: Pace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    own.sessions = Sessions(tmp_path / "file" / "store")
    with pytest.raises(SessionFileError, match="PACE_HOME"):
        own.read(texts("oak"), store=True)


def test_path_and_store_exclude_each_other(own: Pace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exclude"):
        own.read(texts("oak"), store=True, path=tmp_path / "s.pace")
