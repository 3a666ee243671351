"""Documents here, the model behind an OpenAI endpoint: our own server, and one made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import (
    ConfigError,
    DeadlineExceededError,
    DocumentError,
    ModelLoadError,
    PaceError,
    QuestionError,
)
from pace_integrations.library.endpoint import Endpoint
from pace_integrations.library.remote import RemotePace

CORPUS = Corpus.from_texts(
    {
        "Lease": "The tenant is Ada Byron. The monthly rent is 950 EUR.",
        "Warranty": "The refrigerant is propane. Only an engineer opens the circuit.",
        "Handbook": "The studio opens at nine.",
    }
)
Reply = Callable[[dict[str, Any]], httpx.Response]


def events(*pieces: str, finish: str | None = "stop", usage: bool = True) -> bytes:
    rows: list[dict[str, Any]] = [{"choices": [{"delta": {"content": p}}]} for p in pieces]
    if finish:
        rows.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    if usage:
        details = {"cached_tokens": 60}
        told = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": details}
        rows.append({"choices": [], "usage": told})
    lines = [f"data: {json.dumps(row)}\n\n" for row in rows]
    return "".join([": ping\n\n", *lines, "data: [DONE]\n\n"]).encode()


class FakeServer:
    """What an endpoint was asked, and what it replies."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.reply = reply or (
            lambda body: httpx.Response(200, content=events(" propane", " [2]", "."))
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("authorization"))
        if request.url.path == "/v1/models":
            rows = [{"id": "big", "max_model_len": 4096}, {"id": "small"}]
            return httpx.Response(200, json={"data": rows})
        self.asked.append(json.loads(request.content))
        return self.reply(self.asked[-1])

    def connect(self, **options: Any) -> RemotePace:
        client = httpx.Client(transport=httpx.MockTransport(self))
        return RemotePace(Endpoint("http://gpu1:8000/v1/", client=client, **options))


def test_pages_are_sent_with_the_question_and_cited() -> None:
    server = FakeServer()
    pace = server.connect(api_key="secret-key")
    library = pace.read(CORPUS)
    stream = library.stream("What is the refrigerant?", passages=2)
    assert "".join(stream) == "propane [2]."
    answer = stream.answer
    (citation,) = answer.citations
    assert (citation.document, citation.passage, citation.method) == ("Warranty", 2, "cited")
    assert "propane" in citation.quote
    assert answer.evidence[0].document == "Warranty"
    assert answer.selection.selector == "bm25"
    assert answer.selection.pages[0].number == 2
    assert (answer.usage.input_tokens, answer.usage.cached_tokens) == (100, 60)
    assert (pace.name, pace.context_window) == ("big", 4096)
    system, user = server.asked[0]["messages"]
    assert "[2] Warranty\nThe refrigerant is propane." in system["content"]
    assert user == {"role": "user", "content": "What is the refrigerant?"}
    assert set(server.keys) == {"Bearer secret-key"}


def test_settings_are_sent_under_the_names_of_the_interface() -> None:
    server = FakeServer()
    library = server.connect(model="small").read(CORPUS)
    generation = GenerationConfig(
        max_new_tokens=9, temperature=0.5, top_p=0.9, top_k=3, seed=4, stop=("x",)
    )
    library.ask("What is the rent?", generation=generation)
    body = server.asked[0]
    names = ("model", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop")
    assert [body[name] for name in names] == ["small", 9, 0.5, 0.9, 3, 4, ["x"]]


def test_a_conversation_is_sent_whole_and_searched_by_its_question() -> None:
    server = FakeServer()
    turns = [
        {"role": "user", "content": "Who is the tenant?"},
        {"role": "assistant", "content": "Ada Byron [1]"},
        {"role": "user", "content": "What is the refrigerant?"},
    ]
    answer = server.connect().read(CORPUS).ask(turns)
    assert server.asked[0]["messages"][1:] == turns
    assert answer.selection.pages[0].number == 2


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (lambda b: httpx.Response(401, json={"error": {"message": "no"}}), ModelLoadError, "key"),
        (lambda b: httpx.Response(400, json={"error": {"message": "too long"}}), QuestionError,
         "too long"),
        (lambda b: httpx.Response(503, text="busy"), PaceError, "later"),
        (lambda b: httpx.Response(200, content=events("half", finish=None)), PaceError, "early"),
        (lambda b: httpx.Response(200, content=b"data: {nonsense\n\n"), PaceError, "no event"),
        (lambda b: httpx.Response(200, content=b'data: {"error": {"message": "lost"}}\n\n'),
         PaceError, "lost"),
    ],
)  # fmt: skip
def test_what_goes_wrong_there_is_said_here(
    reply: Reply, kind: type[PaceError], words: str
) -> None:
    library = FakeServer(reply).connect().read(CORPUS)
    with pytest.raises(kind, match=words):
        library.ask("What is the refrigerant?")


def test_silence_is_a_deadline() -> None:
    def wait(body: dict[str, Any]) -> httpx.Response:
        raise httpx.ReadTimeout("silent")

    library = FakeServer(wait).connect().read(CORPUS)
    with pytest.raises(DeadlineExceededError, match="silent"):
        library.ask("What is the refrigerant?", timeout=1)


def test_what_needs_a_model_here_is_refused(tmp_path: Path) -> None:
    pace = FakeServer().connect()
    with pytest.raises(ConfigError, match="bm25"):
        pace.library(tmp_path / "lib", selector="heads")
    with pytest.raises(DocumentError, match="add documents"):
        pace.library(tmp_path / "lib").ask("What?")
    with pytest.raises(QuestionError):
        pace.read(CORPUS).ask(7)  # type: ignore[arg-type]
    with pytest.raises(ModelLoadError, match="no model 'huge'"):
        FakeServer().connect(model="huge")
    with pytest.raises(ConfigError, match="address"):
        Pace.remote("gpu1:8000")


def test_a_library_of_a_local_model_serves_too(tmp_path: Path, reader: Pace) -> None:
    reader.library(tmp_path / "lib").add(CORPUS)
    library = FakeServer().connect().library(tmp_path / "lib")
    assert library.ask("What is the refrigerant?").citations[0].document == "Warranty"
    assert library.remove("Lease").removed == ("Lease",)
    assert len(reader.library(tmp_path / "lib").documents) == 2


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    pytest.importorskip("fastapi")
    from serving import serve

    from pace_integrations.server import ServerSettings, make_app

    with (
        Pace.load("pace-nano") as nano,
        serve(make_app(nano, ServerSettings(data=tmp_path_factory.mktemp("data")))) as running,
    ):
        yield running.client


def test_our_own_server_is_such_an_endpoint(own_server: httpx.Client) -> None:
    pace = RemotePace(Endpoint("http://localhost/v1", client=own_server))
    answer = pace.read(CORPUS).ask("What is the refrigerant?", passages=1)
    assert answer.text
    assert answer.usage.input_tokens > 20
    assert answer.citations[0].document == "Warranty"
