"""The owner thread: fairness, errors, closing, event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from ticking import ticking

from pace_integrations.errors import PaceError
from pace_integrations.model.model_thread import ModelThread


@pytest.fixture
def owner() -> Iterator[ModelThread]:
    owner = ModelThread("test-owner")
    yield owner
    owner.close()


def test_items_come_in_order_from_one_other_thread(owner: ModelThread) -> None:
    threads = set()

    def work() -> Iterator[int]:
        for i in range(5):
            threads.add(threading.current_thread().name)
            yield i

    assert list(owner.stream(work())) == list(range(5))
    assert list(owner.stream(work())) == list(range(5))
    assert threads == {"test-owner"}


def test_jobs_take_turns(owner: ModelThread) -> None:
    steps: list[str] = []
    gate = threading.Event()

    def work(name: str) -> Iterator[int]:
        gate.wait(5)
        for i in range(3):
            steps.append(name)
            yield i

    a, b = owner.stream(work("a")), owner.stream(work("b"))
    gate.set()
    assert [list(a), list(b)] == [[0, 1, 2], [0, 1, 2]]
    assert steps == ["a", "b"] * 3


def test_an_error_reaches_its_consumer_and_no_other(owner: ModelThread) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("boom")

    bad, good = owner.stream(broken()), owner.stream(iter([1, 2, 3]))
    assert next(bad) == 1
    with pytest.raises(ValueError, match="boom"):
        next(bad)
    assert list(bad) == []
    assert list(good) == [1, 2, 3]


def test_closing_ends_the_work_and_runs_its_cleanup(owner: ModelThread) -> None:
    made: list[int] = []
    cleaned = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                made.append(len(made))
                time.sleep(0.001)
                yield made[-1]
        finally:
            cleaned.set()

    stream = owner.stream(endless())
    next(stream)
    stream.close()
    assert cleaned.wait(5)
    count = len(made)
    time.sleep(0.02)
    assert len(made) == count
    assert list(stream) == []


def test_dropping_a_stream_ends_the_work(owner: ModelThread) -> None:
    cleaned = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                time.sleep(0.001)
                yield 0
        finally:
            cleaned.set()

    next(owner.stream(endless()))
    assert cleaned.wait(5)


def test_closing_the_owner_fails_what_runs_and_refuses_what_follows(owner: ModelThread) -> None:
    def endless() -> Iterator[int]:
        while True:
            time.sleep(0.001)
            yield 0

    stream = owner.stream(endless())
    next(stream)
    owner.close()
    with pytest.raises(PaceError, match="closed"):
        list(stream)
    with pytest.raises(PaceError, match="load it again"):
        owner.stream(iter([1]))
    assert "test-owner" not in {thread.name for thread in threading.enumerate()}


async def test_the_event_loop_goes_on_while_work_is_done(owner: ModelThread) -> None:
    def slow() -> Iterator[int]:
        for i in range(5):
            time.sleep(0.02)
            yield i

    async with ticking() as ticks:
        items = [item async for item in owner.astream(slow())]
    assert items == list(range(5))
    assert ticks.count >= 10


async def test_an_error_reaches_an_async_consumer(owner: ModelThread) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("boom")

    stream = owner.astream(broken())
    assert await anext(stream) == 1
    with pytest.raises(ValueError, match="boom"):
        await anext(stream)


async def test_cancelling_the_consumer_ends_the_work(owner: ModelThread) -> None:
    cleaned = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                time.sleep(0.001)
                yield 0
        finally:
            cleaned.set()

    async def consume() -> None:
        async for _ in owner.astream(endless()):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(cleaned.wait, 5)


def test_a_consumer_whose_loop_is_gone_does_not_stop_the_others(owner: ModelThread) -> None:
    gate = threading.Event()

    def work() -> Iterator[int]:
        gate.wait(5)
        yield 1
        yield 2

    async def start_and_leave() -> object:
        return owner.astream(work())

    left = asyncio.run(start_and_leave())
    gate.set()
    assert list(owner.stream(iter([3]))) == [3]
    del left
