"""Documents of any length read with AHN: sessions, forks, questions, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from checkpoints import save_tiny
from safetensors.torch import load_file

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, ReadConfig, Session
from pace_integrations.ahn import AHNConfig, ArtificialHippocampus, save_weights
from pace_integrations.config import Overflow
from pace_integrations.errors import (
    ConfigError,
    ContextOverflowError,
    IncompatibleSessionError,
    ModelLoadError,
)
from pace_integrations.evaluation.arm_runner import ArmRunner, RunSettings
from pace_integrations.evaluation.arms import Arm
from pace_integrations.model.overflow import OVERFLOWS

SHORT = GenerationConfig(max_new_tokens=8)
CONFIG = ReadConfig(chunk=64, reserve=64)
BOOK = Corpus.from_texts({f"Chapter {i}": f"On day {i} it rained. " * 12 for i in range(12)})
QUESTIONS = ["When did it rain?", "On which day? " * 8]


def save_ahn(folder: Path, kind: str = "gdn", seed: int = 1, hidden: int = 32) -> Path:
    """Networks for the tiny models, loud enough to be heard."""
    torch.manual_seed(seed)
    networks = {i: ArtificialHippocampus(4, 8, hidden, kind) for i in range(4)}
    for network in networks.values():
        torch.nn.init.normal_(network.fn.o_proj.weight, std=0.5)
    save_weights(folder, networks, AHNConfig(kind, sinks=16, window=240))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model and networks for it."""
    model = save_tiny(tmp_path_factory.mktemp("tiny"), max_position_embeddings=512)
    return model, save_ahn(tmp_path_factory.mktemp("ahn"))


@pytest.fixture(scope="module")
def read(folders: tuple[Path, Path]) -> Iterator[Session]:
    """A book of many times the window."""
    model, ahn = folders
    with Pace.load(model, memory=None, overflow="ahn", ahn=ahn) as pace:
        yield pace.read(BOOK, config=CONFIG)


def ask(session: Session, question: str = QUESTIONS[0]) -> str:
    return session.ask(question, generation=SHORT).text


def test_any_length_is_read_in_constant_room(read: Session) -> None:
    assert read.tokens > 10 * 256
    assert read.pace.context_window == 256
    short = read.pace.read(Corpus(BOOK.documents[:2]), config=CONFIG)

    def held(session: Session) -> int:
        files = session._engine.context_tensors(session._state.context)
        return sum(t.nbytes for parts in files["kv.safetensors"].values() for t in parts)

    assert short.tokens > 256
    assert held(short) == held(read)
    usage = read.ask(QUESTIONS[0], generation=SHORT).usage
    assert usage.input_tokens + SHORT.max_new_tokens <= 256


def test_the_chunk_changes_no_answer(read: Session) -> None:
    for chunk in (7, 1024):
        other = read.pace.read(BOOK, config=ReadConfig(chunk=chunk, reserve=64))
        assert [ask(other, q) for q in QUESTIONS] == [ask(read, q) for q in QUESTIONS]


def test_asking_leaves_no_trace(read: Session) -> None:
    before = [ask(read, q) for q in QUESTIONS]
    assert [a.text for a in read.ask_many(QUESTIONS, generation=SHORT)] == before
    assert [ask(read, q) for q in reversed(QUESTIONS)] == before[::-1]
    with read.stream(QUESTIONS[0], generation=SHORT) as pieces:
        assert "".join(pieces) == before[0]
    chat = read.fork()
    assert chat.ask(QUESTIONS[0], generation=SHORT).text == before[0]
    assert chat.ask(QUESTIONS[1], generation=SHORT).usage.cached_tokens > 0
    assert ask(read) == before[0]


def test_a_session_is_saved_with_its_state(
    read: Session, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    read.save(tmp_path / "book.pace")
    saved = {}
    for file in (tmp_path / "book.pace").rglob("kv.safetensors"):
        saved |= load_file(file)
    assert saved["0.state"].shape == (1, 4, 8, 8)
    with Pace.load(folders[0], memory=None, overflow="ahn", ahn=folders[1]) as pace:
        opened = pace.open(tmp_path / "book.pace", config=CONFIG)
        assert [ask(opened, q) for q in QUESTIONS] == [ask(read, q) for q in QUESTIONS]
        more = Corpus.from_texts({"Epilogue": "The sun came out. " * 10})
        opened.add(more)
        whole = read.pace.read(Corpus((*BOOK.documents, *more.documents)), config=CONFIG)
        assert opened.tokens == whole.tokens
        assert ask(opened) == ask(whole)


def test_other_networks_do_not_open_it(
    read: Session, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    read.save(tmp_path / "book.pace")
    other = save_ahn(tmp_path / "other", seed=2)
    for options in ({"overflow": "ahn", "ahn": other}, {"overflow": "window"}, {}):
        with (
            Pace.load(folders[0], memory=None, **options) as pace,  # type: ignore[arg-type]
            pytest.raises(IncompatibleSessionError),
        ):
            pace.open(tmp_path / "book.pace")
    moved = save_ahn(tmp_path / "moved")  # the same networks elsewhere
    with Pace.load(folders[0], memory=None, overflow="ahn", ahn=moved) as pace:
        assert ask(pace.open(tmp_path / "book.pace")) == ask(read)


@pytest.mark.parametrize("kind", ["dn", "mamba2"])
@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_other_kinds_and_models_read_beside_the_memory(
    kind: str, family: str, tmp_path: Path
) -> None:
    model = save_tiny(tmp_path / "m", family, max_position_embeddings=512)
    ahn = save_ahn(tmp_path / "a", kind)
    memory = MemoryConfig(rule="slotwise", step=32, slots=16, layers=(0, 2))
    with Pace.load(model, memory=memory, overflow="ahn", ahn=ahn, context=128) as pace:
        session = pace.read(Corpus(BOOK.documents[:3]), config=CONFIG)
        assert pace.context_window == 128
        answer = session.ask("When?", generation=SHORT)
        assert answer.text
        assert answer.memory is not None


def test_a_conversation_that_does_not_fit_is_refused(read: Session) -> None:
    with pytest.raises(ContextOverflowError):
        read.ask("Why? " * 300, generation=SHORT)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"overflow": "ahn"}, ConfigError, "ahn="),
        ({"ahn": "AHN"}, ConfigError, "overflow='ahn'"),
        ({"overflow": "ahn", "ahn": "AHN", "kv": "int8"}, ConfigError, "cannot slide"),
        ({"overflow": "ahn", "ahn": "AHN", "context": 20}, ConfigError, "at least 32"),
        ({"overflow": "ahn", "ahn": "AHN", "context": 1024}, ConfigError, "set context"),
        ({"overflow": "ahn", "ahn": "WIDE"}, ModelLoadError, "of another shape"),
        ({"overflow": "ahn", "ahn": "nowhere"}, ModelLoadError, "is missing"),
    ],
)
def test_what_cannot_be_done_is_refused(
    options: dict[str, object],
    error: type[Exception],
    message: str,
    folders: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    places = {"AHN": folders[1]}
    if options.get("ahn") == "WIDE":
        places["WIDE"] = save_ahn(tmp_path, hidden=33)
    given = {n: places.get(str(v), v) if n == "ahn" else v for n, v in options.items()}
    with pytest.raises(error, match=message):
        Pace.load(folders[0], memory=None, **given)  # type: ignore[arg-type]


def test_ways_are_in_the_registry() -> None:
    assert get_args(Overflow) == tuple(OVERFLOWS)


def test_an_arm_reads_with_ahn(folders: tuple[Path, Path]) -> None:
    setting = RunSettings(str(folders[0]), dtype="float32", overflow="ahn", ahn=str(folders[1]))
    runner = ArmRunner(Arm("off", ""), setting)
    try:
        assert runner.pace.context_window == 256
    finally:
        runner.close()
