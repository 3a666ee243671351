"""More tokens than the context: refused with the counts, stretched, or let through a window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from tiny import tiny_model

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, ReadConfig, Session
from pace_integrations.errors import ConfigError, ContextOverflowError, IncompatibleSessionError
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache.cache import cache_tensors, new_cache
from pace_integrations.model.kv_cache.sliding_window import SlidingWindow

SHORT = GenerationConfig(max_new_tokens=8)
CONFIG = ReadConfig(chunk=64, reserve=64)
BOOK = Corpus.from_texts({f"Chapter {i}": f"On day {i} it rained. " * 12 for i in range(12)})
ROTARY = ["llama", "qwen3", "phi", "phi3", "glm", "cohere", "gpt_neox", "stablelm", "olmo2"]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A book of seven times the window, read with the memory on."""
    path = save_tiny(tmp_path_factory.mktemp("short"), max_position_embeddings=512)
    memory = MemoryConfig(rule="slotwise", step=32, slots=16, layers=(0, 2))
    with Pace.load(path, memory=memory, overflow="window") as pace:
        yield pace.read(BOOK, config=CONFIG)


@pytest.mark.parametrize("family", ROTARY)
@torch.inference_mode()
def test_what_moves_up_is_as_if_it_had_come_there(family: str) -> None:
    """In a model of one layer, keys and values know nothing but their token and their place."""
    model = tiny_model(family, num_hidden_layers=1)
    ids = torch.randint(3, 128, (1, 90), generator=torch.Generator().manual_seed(0))
    window, cache, held = (
        SlidingWindow(model, tokens=40, sinks=8),
        new_cache(model),
        new_cache(model),
    )
    for part in ids.split(15, dim=1):
        window.make_room(cache, part.shape[1])
        list(prefill(model, part, cache, chunk=15, around=nullcontext))
    kept = torch.cat([ids[:, :8], ids[:, -32:]], dim=1)
    list(prefill(model, kept, held, chunk=40, around=nullcontext))
    for name, parts in cache_tensors(held).items():
        got = torch.cat(cache_tensors(cache)[name], dim=2)
        torch.testing.assert_close(got, torch.cat(parts, dim=2), rtol=1e-4, atol=1e-4)


def test_any_length_is_read_in_bounded_room(long: Session) -> None:
    assert long.tokens > 6 * 512
    answer = long.ask("When did it rain?", generation=SHORT)
    assert answer.usage.input_tokens + SHORT.max_new_tokens <= 512
    assert answer.usage.cached_tokens >= 512 - CONFIG.reserve - CONFIG.chunk
    assert len(long.passages) == 12


def test_asking_leaves_no_trace_in_a_window_either(long: Session) -> None:
    questions = ["When did it rain?", "On which day? " * 8]
    before = [long.ask(q, generation=SHORT).text for q in questions]
    assert [a.text for a in long.ask_many(questions, generation=SHORT)] == before
    assert [long.ask(q, generation=SHORT).text for q in reversed(questions)] == before[::-1]
    chat = long.fork()
    assert chat.ask(questions[0], generation=SHORT).text == before[0]
    assert chat.ask(questions[1], generation=SHORT).usage.cached_tokens > 0


def test_a_windowed_session_is_saved_and_added_to(long: Session, tmp_path: Path) -> None:
    long.save(tmp_path / "book.pace")
    opened = long.pace.open(tmp_path / "book.pace", config=CONFIG)
    assert opened.ask("When?", generation=SHORT).text == long.ask("When?", generation=SHORT).text
    more = Corpus.from_texts({"Epilogue": "The sun came out. " * 10})
    opened.add(more)
    assert opened.tokens > long.tokens
    assert opened.ask("When?", generation=SHORT).text


def test_memory_reaches_where_the_window_does_not(long: Session) -> None:
    """The bank holds content of tokens that the cache let go."""
    state = long._state.context.memory
    assert state is not None
    assert state.position == long.tokens
    written = state.bank(0).state()["written"]
    assert int(written.min()) < long.tokens - 512


def test_the_default_refuses_and_says_what_helps(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, max_position_embeddings=512)
    with Pace.load(path) as pace, pytest.raises(ContextOverflowError, match="'window'") as caught:
        pace.read(BOOK, config=CONFIG)
    assert caught.value.limit == 512
    assert caught.value.needed > 6 * 512


def test_positions_are_stretched(tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "m", max_position_embeddings=512)
    with (
        Pace.load(path, memory=None, overflow="yarn", context=8192) as pace,
        Pace.load(path, memory=None) as plain,
    ):
        assert pace.context_window == 8192
        session = pace.read(BOOK, config=CONFIG)
        assert session.ask("When?", generation=SHORT).usage.cached_tokens == session.tokens
        assert pace.fingerprint != plain.fingerprint
        short = Corpus(BOOK.documents[:1])
        session = pace.read(short, config=CONFIG)
        session.save(tmp_path / "s.pace")
        with pytest.raises(IncompatibleSessionError, match="context = 8192"):
            plain.open(tmp_path / "s.pace")
    with Pace.load(path, memory=None, overflow="yarn") as pace:
        assert pace.context_window == 4 * 512


def test_chunks_are_cut_to_the_window(long: Session) -> None:
    wide = long.pace.read(BOOK, config=ReadConfig(chunk=4096, reserve=300))
    assert wide.ask("When did it rain?", generation=SHORT).usage.cached_tokens <= 512 - 300
    with pytest.raises(ConfigError, match="no room"):
        long.pace.read(BOOK, config=ReadConfig(reserve=450))


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("gpt2", {"overflow": "window"}, "rotary positions"),
        ("mistral", {"overflow": "window"}, "full attention"),
        ("gpt2", {"overflow": "yarn"}, "plain rotary positions"),
        ("qwen3", {"overflow": "yarn", "context": 256}, "as it is"),
        ("qwen3", {"overflow": "window", "context": 100}, "at least 128"),
        ("qwen3", {"overflow": "shrug"}, "must be"),
        ("qwen3", {"context": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, family: str, options: dict[str, object], message: str
) -> None:
    path = save_tiny(tmp_path, family, max_position_embeddings=512)
    with pytest.raises(ConfigError, match=message):
        Pace.load(path, memory=None, **options)
