"""Many requests at once: the queue, clients that leave, libraries that are still being read."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from serving import GATE, RunningServer, serve

from pace_integrations import Pace
from pace_integrations.model import decode
from pace_integrations.server import ServerSettings, make_app
from pace_integrations.server.admission import Admission
from pace_integrations.server.errors import ApiError

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ENDLESS = {
    "messages": [{"role": "user", "content": "Count."}],
    "model": "pace-nano",
    "max_tokens": 20_000,
    "stop": ["never to be written"],
}


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens that are written; nothing ends an answer, so each goes on to its limit."""
    written: list[int] = []
    choose = decode.AnswerWriter.choose_token

    def count(self: decode.AnswerWriter, logits: object) -> object:
        self._ends = set()
        written.append(1)
        return choose(self, logits)

    monkeypatch.setattr(decode.AnswerWriter, "choose_token", count)
    return written


@pytest.fixture
def small(nano: Pace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one slot and one place in the queue."""
    settings = ServerSettings(
        data=tmp_path_factory.mktemp("small"), slots=1, max_queue=1, ping_seconds=0.2
    )
    with serve(make_app(nano, settings)) as running:
        yield running


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def wait_until_quiet(written: list[int]) -> None:
    """Wait until no token is written any more: one that was begun may still come."""
    count = -1
    while count != len(written):
        count = len(written)
        time.sleep(0.3)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_ends_the_generation(
    small: RunningServer, tokens: list[int], stream: bool
) -> None:
    with post_by_hand(small, {**ENDLESS, "stream": stream}):
        wait_for(lambda: len(tokens) > 5)
    wait_for(lambda: small.core.admission.running == 0)
    wait_until_quiet(tokens)
    assert 0 < len(tokens) < 2000  # of 20,000
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    assert small.post(CHAT, body).status_code == 200


@contextmanager
def post_by_hand(server: RunningServer, body: dict[str, object]) -> Iterator[socket.socket]:
    """A request whose connection is closed with the block, whatever has come of it."""
    data = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.socket)
        connection.sendall(head.encode() + data)
        yield connection


def test_a_client_that_leaves_a_batch_is_written_no_further(
    nano: Pace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three wait together behind one; two leave, and only the third is written on."""
    written: Counter[int] = Counter()
    choose = decode.AnswerWriter.choose_token

    def count(self: decode.AnswerWriter, logits: object) -> object:
        self._ends = set()
        written[id(self)] += 1
        kept.append(self)  # so that no other gets its id
        return choose(self, logits)

    kept: list[object] = []
    monkeypatch.setattr(decode.AnswerWriter, "choose_token", count)
    limit = 300
    body = {**ENDLESS, "max_tokens": limit}
    with (
        serve(make_app(nano, ServerSettings(data=tmp_path, slots=4))) as server,
        ExitStack() as leaving,
        post_by_hand(server, body) as staying,
    ):
        first = ExitStack()
        wait_for(lambda: server.core.admission.running == 1 and sum(written.values()) > 2)
        for _ in range(2):
            leaving.enter_context(post_by_hand(server, body))
        first.enter_context(post_by_hand(server, body))
        wait_for(lambda: server.core.admission.running == 4)
        wait_for(lambda: len(written) == 4 and min(written.values()) > 2)  # the batch is going on
        leaving.close()
        wait_for(lambda: server.core.admission.running == 1)
        at = sorted(written.values())
        assert b'"length"' in staying.recv(65536)
        wait_for(lambda: max(list(written.values())[1:]) == limit)
        first.close()
    done = sorted(written.values())
    assert done[2:] == [limit, limit]
    assert done[1] <= at[1] + 1 < limit  # at most the token that was being written


def test_a_full_queue_says_when_to_come_again(small: RunningServer, tokens: list[int]) -> None:
    with small.make_client() as one, small.make_client() as two:
        first = one.send(
            one.build_request("POST", CHAT, json=ENDLESS | {"stream": True}), stream=True
        )
        wait_for(lambda: small.core.admission.running == 1)
        second = two.send(
            two.build_request("POST", CHAT, json=ENDLESS | {"stream": True}), stream=True
        )
        lines = second.iter_lines()
        assert next(line for line in lines if line) == ": ping"
        assert small.core.admission.waiting == 1
        refused = small.post(CHAT, ENDLESS)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        assert small.client.get("/health").status_code == 503
        figures = small.client.get("/metrics").text
        assert "pace_requests_waiting 1.0" in figures
        first.close()
        assert next(line for line in lines if line.startswith("data: "))  # its turn has come
        second.close()
    wait_for(lambda: small.core.admission.running == small.core.admission.waiting == 0)
    assert small.client.get("/health").status_code == 200


def test_a_deadline_is_told(small: RunningServer, tokens: list[int]) -> None:
    reply = small.post(CHAT, ENDLESS, **{"x-request-timeout": "0.2"})
    assert reply.status_code == 504
    assert reply.json()["error"]["code"] == "deadline_exceeded"
    assert small.post(CHAT, ENDLESS, **{"x-request-timeout": "-1"}).status_code == 400


def test_an_error_within_a_stream_is_its_last_event(
    small: RunningServer, tokens: list[int]
) -> None:
    headers = {"x-request-timeout": "0.5"}
    with small.client.stream("POST", CHAT, json=ENDLESS | {"stream": True}, headers=headers) as r:
        lines = [line for line in r.iter_lines() if line.startswith("data: ")]
    assert "deadline_exceeded" in lines[-1]
    body = {"input": "Count.", "max_output_tokens": 20_000, "stream": True}
    with small.client.stream("POST", RESPONSES, json=body, headers=headers) as r:
        lines = [line for line in r.iter_lines() if line]
    assert lines[-2] == "event: response.failed"
    assert '"code":"deadline_exceeded"' in lines[-1]


def test_questions_at_once_are_answered_as_they_are_alone(server: RunningServer) -> None:
    questions = [
        "What is the total amount due?",
        "Who is the tenant?",
        "What is the monthly rent?",
        "Who is the supplier?",
    ] * 3
    alone = {q: _answer(server, q) for q in set(questions)}
    with ThreadPoolExecutor(len(questions)) as pool:
        together = list(pool.map(lambda q: _answer(server, q), questions))
    assert together == [alone[q] for q in questions]


def _answer(server: RunningServer, question: str) -> str:
    with server.make_client() as client:
        reply = client.post(RESPONSES, json={"input": question})
    assert reply.status_code == 200
    return reply.json()["output"][0]["content"][0]["text"]


def test_a_question_waits_for_the_reading(
    small: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, shelf = threading.Event(), small.core.libraries
    read = shelf._read_corpus
    monkeypatch.setattr(shelf, "_read_corpus", lambda *given: gate.wait(20) and read(*given))
    file_id = small.client.post("/v1/files", files={"file": ("gate.txt", GATE)}).json()["id"]
    made = small.post("/v1/vector_stores", {"name": "gate", "file_ids": [file_id]}).json()
    assert made["status"] == "in_progress"
    assert small.client.get("/ready").status_code == 503
    assert small.client.get("/health").status_code == 200  # the loop does not wait
    body = {"model": f"pace/{made['id']}", "input": "When does the gate open?", "stream": True}
    with small.client.stream("POST", RESPONSES, json=body) as reply:
        lines = reply.iter_lines()
        assert next(line for line in lines if line) == ": ping"
        gate.set()
        kinds = [line for line in lines if line.startswith("event: ")]
    assert kinds[-1] == "event: response.completed"
    assert small.client.get("/ready").status_code == 200


async def test_one_key_cannot_take_every_slot() -> None:
    admission = Admission(ServerSettings(slots=4, max_per_key=2))
    async with admission.take_slot("a"), admission.take_slot("a"):
        with pytest.raises(ApiError) as caught:
            async with admission.take_slot("a"):
                pass
        assert (caught.value.status, "retry-after" in caught.value.headers) == (429, True)
        async with admission.take_slot("b"):
            assert admission.running == 3
    async with admission.take_slot("a"):
        assert admission.running == 1


async def test_who_gives_up_waiting_leaves_no_gap() -> None:
    admission = Admission(ServerSettings(slots=1, max_queue=5))
    order: list[int] = []

    async def work(number: int) -> None:
        async with admission.take_slot("a"):
            order.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(work(i)) for i in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 3, 4]
    assert (admission.running, admission.waiting) == (0, 0)
