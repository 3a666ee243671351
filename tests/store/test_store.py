"""Saved sessions: the same answers in another process, whole or not there, never another's."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from file_faults import memory_folder
from filelock import FileLock

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session
from pace_integrations.errors import (
    DocumentError,
    IncompatibleSessionError,
    SessionFileError,
)
from pace_integrations.store.session_folder import SavedSession, read_session, write_session
from recipes.crash_sessions import damages, kills

pytestmark = pytest.mark.local_folder(
    "sessions are saved to a path; shared ones are copies of such folders"
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


THINGS = ("oak", "key", "oven", "gate", "pond")
TEN = [f"{word} is the {thing}?" for word in ("Where", "What") for thing in THINGS]

ELSEWHERE = """
import json, sys
from pace_integrations import GenerationConfig, MemoryConfig, Pace
model, saved, questions = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
short = GenerationConfig(max_new_tokens=16)
with Pace.load(model, memory=MemoryConfig(step=32, slots=16, layers=(0, 2))) as pace:
    session = pace.open(saved)
    for order in (questions, questions[::-1]):
        print(json.dumps({q: session.ask(q, generation=short).text for q in order}))
"""


def test_another_process_answers_the_same_in_any_order(
    session: Session, saved: Path, tiny_path: Path
) -> None:
    """Ten questions in two orders, with the memory on."""
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, tiny_path, saved, json.dumps(TEN)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    live = {question: session.ask(question, generation=SHORT).text for question in TEN}
    assert len(set(live.values())) > 2  # the questions matter
    assert [json.loads(line) for line in result.stdout.splitlines()] == [live, live]


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


@pytest.mark.parametrize("saved_with", [None, MemoryConfig(), MEMORY, MemoryConfig(rule="paper")])
def test_the_refusal_spells_the_memory_that_opens_a_session(
    tiny_path: Path, tmp_path: Path, saved_with: MemoryConfig | None
) -> None:
    other = None if saved_with else MEMORY
    with (
        Pace.load(tiny_path, memory=saved_with) as pace,
        Pace.load(tiny_path, memory=other) as without,
    ):
        session = pace.read(Corpus.from_texts({"Cellar": "Wine lies on the left."}))
        session.save(tmp_path / "s.pace")
        with pytest.raises(IncompatibleSessionError) as refused:
            without.open(tmp_path / "s.pace")
    advice = re.search(r"; load the model with memory=(.*), or read", str(refused.value))
    assert advice
    assert eval(advice[1]) == saved_with
    if saved_with == MemoryConfig():
        assert advice[1] == "MemoryConfig()"


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


@pytest.fixture
def quick_path() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def test_any_changed_byte_is_refused_or_harmless(quick_path: Path) -> None:
    path = quick_path / "s.pace"
    corpus = Corpus.from_texts({"oak": "It stands."})
    tensors = {"kv.safetensors": {"0.keys": (torch.arange(8.0).reshape(1, 1, 2, 4),)}}
    write_session(path, fingerprint={"model": "m"}, tokens=2, corpus=corpus, tensors=tensors)
    files = [path / "manifest.json", *data(path).iterdir()]
    assert len(files) == 3
    refused = 0
    for file in files:
        whole = file.read_bytes()
        for i, byte in enumerate(whole):
            file.write_bytes(whole[:i] + bytes([byte ^ 1]) + whole[i + 1 :])
            try:
                saved = read_session(path, fingerprint={"model": "m"})
            except SessionFileError:
                refused += 1
                continue
            assert saved.corpus == corpus
            assert torch.equal(
                saved.tensors["kv.safetensors"]["0.keys"], torch.arange(8.0).reshape(1, 1, 2, 4)
            )
        file.write_bytes(whole)
    assert refused > 500


def test_a_reader_waits_for_nobody(
    pace: Pace, corpus: Corpus, session: Session, saved: Path
) -> None:
    writer, reader = FileLock(saved / ".lock"), FileLock(saved / ".reading")
    with writer, reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileLock, "acquire", lambda *a, **k: pytest.fail("a reader locks"))
        assert pace.open(saved).corpus == session.corpus
        assert pace.read(corpus, path=saved).read_cost.read == 0


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


def test_damage_is_refused_or_harmless(pace: Pace, saved: Path) -> None:
    """Random bytes changed and files cut short: an error, or the very same answers."""
    counts = damages(pace, saved, 100)
    assert counts["refused"] >= 90
    assert counts["refused"] + counts["harmless"] == 100


def test_a_missing_file_is_named(pace: Pace, saved: Path) -> None:
    for file in data(saved).iterdir():
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(SessionFileError, match=f"{file.name} cannot be read"):
            pace.open(saved)
        file.write_bytes(content)
    assert pace.open(saved).tokens


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked to be killed")
def test_killed_saves_leave_whole_sessions(pace: Pace, saved: Path) -> None:
    """Processes that save over and over are killed at random moments."""
    counts = kills(pace, saved, 10)
    assert (counts["whole"], counts["failed"]) == (10, 0)
    assert counts["cut short"] > 0  # or the moments were badly chosen
    assert {file.name for file in saved.iterdir()} == {".lock", "manifest.json", data(saved).name}


def peak(work: Callable[[], object]) -> float:
    """Megabytes of memory of its own that the process needs on the way, beyond what it holds."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return status("VmHWM") - before


def status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="asks Linux")
def test_saving_and_opening_take_no_second_copy(tmp_path: Path) -> None:
    """Views into larger buffers, in two parts each, are written without being joined."""
    tensors = {}
    for name in ("0.keys", "0.values"):
        whole = torch.randn(1, 2, 100_000, 64)
        tensors[name] = (whole[:, :, :60_000], whole[:, :, 65_000:])
    path = tmp_path / "large.pace"
    facts = {"fingerprint": {"model": "m"}, "tokens": 95_000, "corpus": Corpus(())}
    saving = peak(lambda: write_session(path, **facts, tensors={"kv.safetensors": tensors}))
    opened: list[SavedSession] = []
    opening = peak(lambda: opened.append(read_session(path, fingerprint={"model": "m"})))
    for name, parts in tensors.items():
        assert torch.equal(opened[0].tensors["kv.safetensors"][name], torch.cat(parts, dim=2))
    assert sum(part.numel() * 4 for parts in tensors.values() for part in parts) > 90 * 2**20
    assert max(saving, opening) < 40
