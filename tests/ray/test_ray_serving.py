"""Replicas behind the server's own interfaces: one answer, one reading, and what a loss costs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("ray")

from pace_integrations import GenerationConfig, Pace
from pace_integrations.adapters.call_settings import CallSettings
from pace_integrations.ray.opened import Place
from pace_integrations.server.backend import Call

pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]
TEXT = "The harbor has an oak door. A bell opens it at nine."
QUESTION = "What is the door made of?"
CALL = Call(
    [{"role": "user", "content": QUESTION}], CallSettings(GenerationConfig(max_new_tokens=12))
)


@dataclass
class Served:
    """A deployment that is running."""

    client: httpx.Client
    engine: Any
    model: str
    library: str

    def body(self, **more: object) -> dict[str, object]:
        messages = [{"role": "user", "content": QUESTION}]
        return {"model": "pace/papers", "messages": messages, "max_tokens": 12, **more}

    def ask(self, **more: object) -> httpx.Response:
        return self.client.post("/v1/chat/completions", json=self.body(**more))

    def replicas(self) -> dict[int, dict[str, Any]]:
        """What each replica says of itself, by process."""
        found = {}
        for i in range(40):
            reply = self.engine.options(session_id=f"any{i}").describe_replica.remote().result()
            found[reply["pid"]] = reply
            if len(found) == 2:
                break
        return found

    def handles(self) -> list[Any]:
        """A handle to each replica."""
        sessions = (self.engine.options(session_id=f"any{i}") for i in range(40))
        found = {handle.describe_replica.remote().result()["pid"]: handle for handle in sessions}
        return [*found.values()]

    def count(self, what: str) -> int:
        """How many of something all replicas have done."""
        return sum(told.get(what, 0) for told in self.replicas().values())


@pytest.fixture(scope="module")
def served(cluster: Any, model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from ray import serve
    from ray.serve.config import HTTPOptions

    from pace_integrations.ray import deployment
    from pace_integrations.server import ServerSettings

    place = tmp_path_factory.mktemp("served")
    (place / "papers").mkdir()
    (place / "papers" / "harbor.txt").write_text(TEXT)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    settings = ServerSettings(folders=(place / "papers",), data=place / "data", ping_seconds=1)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    app = deployment(
        replicas=2,
        settings=settings,
        slots=2,
        max_queue=2,
        options={"num_cpus": 0.5},
        model=model,
        memory=None,
    )
    serve.run(app, name="pace", route_prefix="/")
    engine = serve.get_deployment_handle("Engine", "pace")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield Served(client, engine, model, f"file://{place}/shared")
    serve.shutdown()


def test_replicas_answer_as_one_process_and_read_nothing_twice(served: Served) -> None:
    from pace_integrations import Corpus

    reply = served.ask()
    assert reply.status_code == 200, reply.text
    (place,) = {name for told in served.replicas().values() for name in told["open"]}
    answers = {}
    for session in range(40):  # until both have answered
        handle = served.engine.options(session_id=f"any{session}")
        who = handle.describe_replica.remote().result()["pid"]
        if who not in answers:
            answers[who] = handle.ask.remote(Place(place.removeprefix("/")), CALL).result().text
    assert len(answers) == 2
    with Pace.load(served.model, memory=None) as pace:
        session = pace.read(Corpus.from_texts({"harbor.txt": TEXT}))
        expected = session.ask(QUESTION, generation=CALL.settings.generation).text
        read = session.read_cost.read
    assert set(answers.values()) == {expected}
    assert reply.json()["choices"][0]["message"]["content"] == expected
    assert served.count("read") == read


def test_a_library_is_read_once_whoever_adds_and_answers(served: Served, tmp_path: Path) -> None:
    from pace_integrations import Corpus

    def pages(*places: str) -> Corpus:  # of equal length, so tokens count pages
        return Corpus.from_texts({p: f"The {p} has an oak door." for p in places})

    every = pages("harbor", "castle", "school", "market", "temple", "garden")
    with Pace.load(served.model, memory=None) as pace:
        library = pace.library(tmp_path / "alone")
        total = library.add(every).read
        expected = library.ask(QUESTION, generation=CALL.settings.generation)
    assert len(library.passages) == 6
    assert total % 6 == 0
    before, place = served.count("read"), Place(served.library)
    first, second = served.handles()
    *_, held = first.options(stream=True).set_corpus.remote(place, pages("harbor", "castle"))
    assert len(held.passages) == 2
    assert second.ask.remote(place, CALL).result().selection.read == 0
    *_, held = second.options(stream=True).set_corpus.remote(place, every)
    assert len(held.passages) == 6
    time.sleep(1.1)  # within which others see what one has changed
    told = [handle.ask.remote(place, CALL).result() for handle in (first, second, first, second)]
    assert {answer.text for answer in told} == {expected.text}
    assert [answer.selection.read for answer in told] == [0] * 4
    assert (served.count("read") - before) / (total // 6) == 6  # pages, over both replicas


def test_questions_of_one_library_go_to_one_replica(served: Served) -> None:
    served.ask()
    before = {pid: reply.get("answers", 0) for pid, reply in served.replicas().items()}
    for _ in range(4):
        served.ask()
    after = {pid: reply.get("answers", 0) for pid, reply in served.replicas().items()}
    assert sorted(after[pid] - before[pid] for pid in after) == [0, 4]


def test_a_client_that_leaves_ends_the_generation(served: Served) -> None:
    length = served.ask(max_tokens=1000).json()["usage"]["completion_tokens"]
    assert length == 1000
    before = served.count("pieces")
    body = served.body(stream=True, max_tokens=1000)
    with served.client.stream("POST", "/v1/chat/completions", json=body) as reply:
        for _, _ in zip(range(8), reply.iter_lines(), strict=False):
            pass
    time.sleep(0.5)
    left = served.count("pieces")
    time.sleep(1)
    assert served.count("pieces") == left
    assert 0 < left - before < length / 2


def test_more_than_may_wait_is_told_to_come_back(served: Served) -> None:
    async def ask_all() -> list[httpx.Response]:
        base = str(served.client.base_url)
        async with httpx.AsyncClient(base_url=base, timeout=60) as client:
            body = served.body(max_tokens=100)
            asked = [client.post("/v1/chat/completions", json=body) for _ in range(24)]
            return await asyncio.gather(*asked)

    replies = asyncio.run(ask_all())
    codes = {reply.status_code for reply in replies}
    assert codes == {200, 503}
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert refused.json()["error"]["code"] == "queue_full"
    assert int(refused.headers["retry-after"]) >= 1
    assert served.ask().status_code == 200


def test_a_replica_that_is_lost_loses_its_stream_and_nothing_else(served: Served) -> None:
    expected = served.ask().json()["choices"][0]["message"]["content"]
    before = {pid: told.get("pieces", 0) for pid, told in served.replicas().items()}
    read, events, killed, other = served.count("read"), list[str](), None, None
    body = served.body(stream=True, max_tokens=1000)
    with served.client.stream("POST", "/v1/chat/completions", json=body) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                events.append(line.removeprefix("data: "))
            if killed is None and len(events) > 2:
                now = {pid: told.get("pieces", 0) for pid, told in served.replicas().items()}
                killed = max(now, key=lambda pid: now[pid] - before.get(pid, 0))
                other = start_elsewhere(served, killed)
                os.kill(killed, signal.SIGKILL)
    last = json.loads(events[-1])
    assert last["error"]["code"] == "replica_lost", events[-2:]
    assert "ask again" in last["error"]["message"]
    assert other is not None
    assert [*other][-1].usage.output_tokens == 600  # the other replica's stream went on
    after = served.ask()
    assert after.status_code == 200
    assert after.json()["choices"][0]["message"]["content"] == expected
    # Who takes its place finds the library read.
    for _ in range(240):
        if len(handles := served.handles()) == 2:
            break
        time.sleep(0.5)
    assert len(handles) == 2
    for handle in handles:
        told = handle.ask.remote(Place(served.library), CALL).result()
        assert told.selection.read == 0
    assert served.count("read") <= read


def start_elsewhere(served: Served, pid: int) -> Iterator[Any]:
    """A stream on another replica than that of a process."""
    settings = CallSettings(GenerationConfig(max_new_tokens=600))
    (place,) = {
        name
        for told in served.replicas().values()
        for name in told["open"]
        if not name.endswith(served.library)
    }
    for session in range(40):
        handle = served.engine.options(session_id=f"any{session}")
        if handle.describe_replica.remote().result()["pid"] != pid:
            call = Call(CALL.messages, settings)
            return handle.options(stream=True).stream.remote(Place(place.removeprefix("/")), call)
    raise AssertionError("there is no other replica")
