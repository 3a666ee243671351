"""Conversations: turns are seen by those after them, and by nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from checkpoints import save_tiny

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session
from pace_integrations.model.prompts import Message

SHORT = GenerationConfig(max_new_tokens=8)
TURNS = ("Where is the oak?", "And the key?", "When is bread baked?")


@pytest.fixture(scope="module")
def session(pace: Pace, corpus: Corpus) -> Session:
    return pace.read(corpus)


def says(role: str, content: str) -> Message:
    return Message(role=role, content=content)  # type: ignore[typeddict-item]


def test_a_turn_sees_the_turns_before_it(session: Session) -> None:
    chat, messages = session.fork(), []
    for text in TURNS:
        messages.append(says("user", text))
        answer = chat.ask(text, generation=SHORT)
        whole = session.ask(messages, generation=SHORT)
        assert (answer.text, answer.citations) == (whole.text, whole.citations)
        assert answer.usage.input_tokens == whole.usage.input_tokens
        messages.append(says("assistant", answer.text))
    assert list(chat.history) == messages


def test_earlier_turns_are_not_computed_again(session: Session) -> None:
    chat = session.fork()
    first = chat.ask(TURNS[0], generation=SHORT)
    second = chat.ask(TURNS[1], generation=SHORT)
    assert first.usage.cached_tokens == session.tokens
    assert second.usage.cached_tokens > session.tokens + len(TURNS[0])
    assert second.usage.cached_tokens <= first.usage.input_tokens


def test_nobody_else_sees_a_turn(session: Session) -> None:
    alone = session.ask(TURNS[1], generation=SHORT)
    chat = session.fork()
    chat.ask(TURNS[0], generation=SHORT)
    twin, before = chat.fork(), chat.ask(TURNS[1], generation=SHORT)
    assert session.ask(TURNS[1], generation=SHORT).text == alone.text
    twin.ask("Something else?", generation=SHORT)
    assert len(twin.history) == len(chat.history) == 4
    chat.reset()
    again = chat.ask(TURNS[1], generation=SHORT)
    assert (again.text, again.usage) == (alone.text, alone.usage)
    assert before.usage != alone.usage


def test_an_answer_that_was_stopped_is_no_turn(session: Session) -> None:
    chat = session.fork()
    chat.ask(TURNS[0], generation=SHORT)
    history = chat.history
    with chat.stream(TURNS[1], generation=SHORT) as stream:
        next(stream)
    assert chat.history == history
    with session.fork().stream(TURNS[0], generation=SHORT) as stream:
        assert "".join(stream) == stream.answer.text


def test_it_goes_on_from_what_it_started_with(pace: Pace, corpus: Corpus) -> None:
    session = pace.read(corpus)
    chat = session.fork()
    first = chat.ask(TURNS[0], generation=SHORT)
    session.add(Corpus.from_texts({"Cellar": "Wine from 1998."}))
    chat.reset()
    assert chat.ask(TURNS[0], generation=SHORT).text == first.text
    assert chat.tokens < session.tokens


def test_a_blank_session_converses_too(pace: Pace) -> None:
    chat = pace.blank().fork()
    messages = [says("system", "Be brief."), says("user", TURNS[0])]
    first = chat.ask(messages, generation=SHORT)
    second = chat.ask(TURNS[1], generation=SHORT)
    whole = [*messages, says("assistant", first.text), says("user", TURNS[1])]
    assert second.text == pace.blank().ask(whole, generation=SHORT).text
    assert second.usage.cached_tokens > 0


@pytest.fixture(scope="module", params=["windows", "writing"])
def uncut(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pace]:
    """Models whose state cannot be cut back to an earlier turn."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "windows":
        path, memory = save_tiny(folder, "mistral", sliding_window=64), None
    else:
        path = save_tiny(folder)
        memory = MemoryConfig(step=4, slots=16, layers=(0, 2), write_while_decoding=True)
    with Pace.load(path, memory=memory) as pace:
        yield pace


def test_where_nothing_can_be_cut_turns_are_computed_again(uncut: Pace, corpus: Corpus) -> None:
    session = uncut.read(corpus)
    chat, messages = session.fork(), []
    for text in TURNS:
        messages.append(says("user", text))
        answer = chat.ask(text, generation=SHORT)
        assert answer.text == session.ask(messages, generation=SHORT).text
        assert answer.usage.cached_tokens == session.tokens
        messages.append(says("assistant", answer.text))
