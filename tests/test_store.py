"""Saved sessions: the same answers in another process, whole or not there, never another's."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import save_tiny
from filelock import FileLock

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session
from pace_integrations.errors import (
    DocumentError,
    IncompatibleSessionError,
    PaceError,
    SessionFileError,
)

QUESTIONS = ["Where is the oak?", "When does the gate open?", "Which oven?"]
SHORT = GenerationConfig(max_new_tokens=16)
MEMORY = MemoryConfig(step=32, slots=16, layers=(0, 2))


@pytest.fixture(scope="module")
def session(pace: Pace, corpus: Corpus) -> Session:
    return pace.read(corpus)


@pytest.fixture
def saved(session: Session, tmp_path: Path) -> Path:
    session.save(tmp_path / "notes.pace")
    return tmp_path / "notes.pace"


def answers(session: Session) -> list[str]:
    return [session.ask(question, generation=SHORT).text for question in QUESTIONS]


def data(saved: Path) -> Path:
    return saved / json.loads((saved / "manifest.json").read_text())["data"]


def edit(saved: Path, **fields: object) -> None:
    """Changes a manifest and seals it again, as another program could."""
    manifest = json.loads((saved / "manifest.json").read_text())
    del manifest["sha256"]
    manifest |= fields
    seal = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps({**manifest, "sha256": seal}))


@pytest.mark.parametrize("verify", ["full", "fast"])
def test_an_opened_session_answers_as_the_live_one(
    pace: Pace, session: Session, saved: Path, verify: str
) -> None:
    opened = pace.open(saved, verify=verify)
    assert answers(opened) == answers(session)
    assert opened.tokens == session.tokens
    assert opened.passages == session.passages
    assert opened.corpus == session.corpus
    assert (
        opened.ask(QUESTIONS[0], generation=SHORT).memory
        == session.ask(QUESTIONS[0], generation=SHORT).memory
    )


def test_another_process_answers_the_same_in_any_order(
    session: Session, saved: Path, tiny_path: Path
) -> None:
    script = (
        "import sys, json; from pace_integrations import *\n"
        f"pace = Pace.load({str(tiny_path)!r}, memory=MemoryConfig(step=32, slots=16, "
        "layers=(0, 2)))\n"
        f"session = pace.open({str(saved)!r})\n"
        f"short = GenerationConfig(max_new_tokens=16)\n"
        f"print(json.dumps([session.ask(q, generation=short).text for q in {QUESTIONS[::-1]!r}]))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(result.stdout) == answers(session)[::-1]


def test_the_model_may_have_moved(
    tmp_path: Path, tiny_path: Path, session: Session, saved: Path
) -> None:
    shutil.copytree(tiny_path, tmp_path / "moved")
    with Pace.load(tmp_path / "moved", memory=MEMORY) as moved:
        assert answers(moved.open(saved)) == answers(session)


def test_sliding_windows_survive(tmp_path: Path, corpus: Corpus) -> None:
    save_tiny(tmp_path / "model", "mistral", sliding_window=64)
    with Pace.load(tmp_path / "model", memory=None) as pace:
        session = pace.read(corpus)
        session.save(tmp_path / "s.pace")
        assert answers(pace.open(tmp_path / "s.pace")) == answers(session)


def test_saving_again_replaces_and_leaves_nothing_over(
    pace: Pace, session: Session, saved: Path
) -> None:
    other = pace.read(Corpus.from_texts({"Cellar": "Wine lies on the left."}))
    other.save(saved)
    assert answers(pace.open(saved)) == answers(other)
    assert len(list(saved.glob("data-*"))) == 1
    session.save(saved)
    assert answers(pace.open(saved)) == answers(session)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("memory.blend", {"memory": MemoryConfig(step=32, slots=16, layers=(0, 2), blend=0.1)}),
        ("memory", {"memory": None}),
        ("dtype", {"memory": MEMORY, "dtype": "bfloat16"}),
    ],
)
def test_another_configuration_is_refused_by_the_field(
    tiny_path: Path, saved: Path, field: str, options: dict[str, object]
) -> None:
    with (
        Pace.load(tiny_path, **options) as other,
        pytest.raises(IncompatibleSessionError, match=f"with {field} = "),
    ):
        other.open(saved)


def test_another_model_is_refused(tmp_path: Path, saved: Path) -> None:
    save_tiny(tmp_path / "other", seed=1)
    with (
        Pace.load(tmp_path / "other", memory=MEMORY) as other,
        pytest.raises(IncompatibleSessionError, match="was saved with revision"),
    ):
        other.open(saved)


def test_what_is_no_session_is_refused(pace: Pace, tmp_path: Path, session: Session) -> None:
    with pytest.raises(SessionFileError, match="no saved session at"):
        pace.open(tmp_path / "nowhere")
    with pytest.raises(SessionFileError, match=r"no manifest\.json"):
        pace.open(tmp_path)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SessionFileError, match="choose another name"):
        session.save(tmp_path)
    with pytest.raises(SessionFileError, match="choose another name"):
        session.save(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(DocumentError, match="blank"):
        pace.blank().save(tmp_path / "blank.pace")


def test_another_format_is_named(pace: Pace, saved: Path) -> None:
    for other in (1, 99):
        edit(saved, format=other)
        with pytest.raises(SessionFileError, match=f"has format {other}"):
            pace.open(saved)


def test_a_second_writer_is_told_to_wait(session: Session, saved: Path) -> None:
    with FileLock(saved / ".lock"), pytest.raises(SessionFileError, match="another process"):
        session.save(saved)


def full_disk(*args: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_write_that_fails_half_way_leaves_the_old_session(
    pace: Pace, session: Session, saved: Path
) -> None:
    resource = pytest.importorskip("resource", reason="limits of files are POSIX's")
    before = sorted(saved.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (data(saved) / "kv.safetensors").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        with pytest.raises(SessionFileError, match="File too large"):
            session.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(saved.rglob("*")) == before
    assert answers(pace.open(saved)) == answers(session)


def test_a_full_disk_leaves_the_old_session(
    pace: Pace, session: Session, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = pace.read(Corpus.from_texts({"a": "b"}))
    before = sorted(saved.rglob("*"))
    monkeypatch.setattr(os, "fsync", full_disk)  # where delayed writes fail
    with pytest.raises(SessionFileError, match="No space left"):
        other.save(saved)
    assert sorted(saved.rglob("*")) == before
    assert answers(pace.open(saved)) == answers(session)
    assert len(list(saved.glob("data-*"))) == 1


def test_damage_is_refused_or_harmless(pace: Pace, session: Session, saved: Path) -> None:
    """Random bytes changed, files cut short or gone: an error, or the very same answers."""
    dice, expected = random.Random(7), answers(session)
    refused = 0
    for _ in range(150):
        copy = saved.with_name("copy.pace")
        shutil.copytree(saved, copy)
        files = [copy / "manifest.json", *data(copy).iterdir()]
        _damage(dice.choice(files), dice)
        try:
            opened = pace.open(copy)
        except PaceError:
            refused += 1
        else:
            assert answers(opened) == expected
        shutil.rmtree(copy)
    assert refused >= 140


def _damage(file: Path, dice: random.Random) -> None:
    content = bytearray(file.read_bytes())
    kind = dice.randrange(4)
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.write_bytes(content[: dice.randrange(len(content))])
    else:
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        file.write_bytes(content)


KILLS = """
import json, os, random, signal, sys, time
from pace_integrations import Pace, GenerationConfig, MemoryConfig

model, saved, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
short, dice, wrong = GenerationConfig(max_new_tokens=4), random.Random(3), []
with Pace.load(model, memory=MemoryConfig(step=32, slots=16, layers=(0, 2))) as pace:
    session = pace.open(saved)
    start = time.perf_counter()
    session.save(saved)
    longest = 3 * (time.perf_counter() - start)
    expected = session.ask("Where is the oak?", generation=short).text
    for kill in range(kills):
        if (saver := os.fork()) == 0:
            while True:
                session.save(saved)
        time.sleep(dice.uniform(0, longest))
        os.kill(saver, signal.SIGKILL)
        os.waitpid(saver, 0)
        if pace.open(saved).ask("Where is the oak?", generation=short).text != expected:
            wrong.append(kill)
print(json.dumps(wrong))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked to be killed")
def test_killed_saves_leave_whole_sessions(session: Session, saved: Path, tiny_path: Path) -> None:
    """Processes that save over and over are killed at random moments."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLS, tiny_path, saved, "20"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert json.loads(result.stdout or result.stderr) == []
    session.save(saved)
    assert {file.name for file in saved.iterdir()} == {".lock", "manifest.json", data(saved).name}
