"""An answer that takes too long ends in an error, at once, and the model goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from pace_integrations import Corpus, GenerationConfig, Pace, Session
from pace_integrations.errors import ConfigError, DeadlineExceededError

ENDLESS = GenerationConfig(max_new_tokens=6000)
SHORT = GenerationConfig(max_new_tokens=4)
QUESTION = "Where is the oak?"


@pytest.fixture(scope="module")
def session(pace: Pace, corpus: Corpus) -> Session:
    return pace.read(corpus)


WAYS: dict[str, Callable[[Session], object]] = {
    "ask": lambda s: s.ask(QUESTION, generation=ENDLESS, timeout=0.2),
    "stream": lambda s: list(s.stream(QUESTION, generation=ENDLESS, timeout=0.2)),
    "aask": lambda s: asyncio.run(s.aask(QUESTION, generation=ENDLESS, timeout=0.2)),
    "ask_many": lambda s: s.ask_many([QUESTION] * 3, generation=ENDLESS, timeout=0.2),
    "fork": lambda s: s.fork().ask(QUESTION, generation=ENDLESS, timeout=0.2),
}


@pytest.mark.parametrize("way", WAYS)
def test_time_is_limited_and_the_model_goes_on(session: Session, way: str) -> None:
    before = session.ask(QUESTION, generation=SHORT)
    with pytest.raises(DeadlineExceededError, match=r"after 0\.2 seconds"):
        WAYS[way](session)
    after = session.ask(QUESTION, generation=SHORT, timeout=600)
    assert after.text == before.text


def test_the_error_comes_while_the_model_does_something_else(session: Session) -> None:
    """A step of another job holds the thread; the consumer does not wait for its end."""
    begun, done = threading.Event(), threading.Event()

    def hold() -> object:
        begun.set()
        done.wait()
        yield

    job = session._engine.thread.stream(hold())
    begun.wait()
    with pytest.raises(DeadlineExceededError):
        session.ask(QUESTION, generation=SHORT, timeout=0.05)
    done.set()
    assert list(job) == [None]


def test_it_is_a_timeout_error_and_no_nonsense_is_taken(session: Session) -> None:
    assert issubclass(DeadlineExceededError, TimeoutError)
    with pytest.raises(ConfigError, match="negative"):
        session.ask(QUESTION, timeout=-1)
