"""Many threads, sessions and kinds of calls at once, and many questions one after the other."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session

SHORT = GenerationConfig(max_new_tokens=12)
QUESTIONS = ("Where is the key?", "When is bread baked?", "What is the oven?", "Which gate?")


@pytest.fixture(scope="module")
def sessions(tiny_path: Path, corpus: Corpus) -> list[Session]:
    """Four sessions of two models: with the memory and without."""
    other = Corpus.from_texts({"Cellar": "Wine from 1998 lies under the stairs. " * 9})
    paces = [Pace.load(tiny_path, memory=m) for m in (MemoryConfig(step=32, slots=16), None)]
    return [pace.read(read) for pace in paces for read in (corpus, other)]


def call(session: Session, question: str, way: str) -> str | None:
    """An answer by one way of asking; None where it is not waited for."""
    if way == "ask":
        return session.ask(question, generation=SHORT).text
    if way == "stream":
        return "".join(session.stream(question, generation=SHORT))
    if way == "fork":
        return session.fork().ask(question, generation=SHORT).text
    if way == "cancelled":
        with session.stream(question, generation=SHORT) as stream:
            next(stream, None)
        return None
    ticks = 0

    async def ask_and_tick() -> str:
        nonlocal ticks
        asked = asyncio.create_task(session.aask(question, generation=SHORT))
        while not asked.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return asked.result().text

    text = asyncio.run(ask_and_tick())
    assert ticks > 5
    return text


def test_threads_sessions_and_ways_of_asking_do_not_meet(sessions: list[Session]) -> None:
    alone = {
        (i, question): session.ask(question, generation=SHORT).text
        for i, session in enumerate(sessions)
        for question in QUESTIONS
    }
    rng = random.Random(0)
    ways = ["ask", "stream", "fork", "cancelled", "async"]
    jobs = [(rng.randrange(4), rng.choice(QUESTIONS), rng.choice(ways)) for _ in range(96)]
    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(lambda job: call(sessions[job[0]], job[1], job[2]), jobs))
    for (i, question, way), text in zip(jobs, texts, strict=True):
        assert text == (None if way == "cancelled" else alone[i, question])


def test_questions_leave_nothing_behind(sessions: list[Session]) -> None:
    session, process = sessions[0], psutil.Process()

    def ask(count: int) -> tuple[int, int]:
        for i in range(count):
            session.ask(QUESTIONS[i % 4], generation=GenerationConfig(max_new_tokens=2))
        gc.collect()
        return tracemalloc.get_traced_memory()[0], process.memory_info().rss

    tracemalloc.start()
    try:
        ask(20)
        before, after = ask(20), ask(200)
    finally:
        tracemalloc.stop()
    assert after[0] - before[0] < 500 * 200  # less than one small object for each question
    assert after[1] < before[1] * 1.05
