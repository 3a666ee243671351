"""Several libraries asked as one, and what they are searched for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import GATE, RunningServer, serve

from pace_integrations import Pace
from pace_integrations.library import Library
from pace_integrations.server import ServerSettings, make_app

CHAT, RESPONSES, STORES = "/v1/chat/completions", "/v1/responses", "/v1/vector_stores"
ONE, TWO = KEYS = ("first-of-the-keys", "second-of-the-keys")
QUESTION = "When does the gate open?"
BREAD = b"Bread is baked on Mondays at five in the morning."


@pytest.fixture(scope="module")
def shop(nano: Pace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with keys, of which two have libraries of their own."""
    settings = ServerSettings(data=tmp_path_factory.mktemp("shop"), api_keys=KEYS, folders=())
    with serve(make_app(nano, settings)) as running:
        yield running


def add_library(server: RunningServer, key: str, **files: bytes) -> str:
    headers = {"authorization": f"Bearer {key}"}
    ids = [
        server.client.post("/v1/files", files={"file": (f"{n}.txt", t)}, headers=headers).json()[
            "id"
        ]
        for n, t in files.items()
    ]
    made = server.post(STORES, {"name": "-".join(files), "file_ids": ids}, **headers).json()
    server.wait_until_read()
    return str(made["id"])


def respond(server: RunningServer, ids: list[Any], key: str = ONE, **body: object) -> Any:
    tool = {"type": "file_search", "vector_store_ids": ids}
    body = {"input": QUESTION, "tools": [tool], "max_output_tokens": 24, **body}
    return server.post(RESPONSES, body, authorization=f"Bearer {key}")


def test_a_question_goes_to_several_libraries(shop: RunningServer, tmp_path: Path) -> None:
    gate, bread = add_library(shop, ONE, gate=GATE), add_library(shop, ONE, bread=BREAD)
    both = respond(shop, [gate, bread])
    assert both.status_code == 200, both.text
    names = set()
    for question, word in ((QUESTION, "gate"), ("When is bread baked?", "bread")):
        search = {"query": question}
        headers = {"authorization": f"Bearer {ONE}"}
        best = shop.post(f"{STORES}/{gate},{bread}/search", search, **headers).json()["data"][0]
        names.add(best["filename"])
        page = shop.client.get(f"{best['pace']['url']}&format=json").json()
        assert word in page["text"].lower()
        made = respond(shop, [bread, gate, gate], input=question).json()
        assert made["output"][0]["type"] == "file_search_call"
        for part in made["output"][-1]["content"]:
            for note in part["annotations"]:
                assert word in shop.client.get(f"{note['url']}&format=json").text.lower()
    assert names == {"gate.txt", "bread.txt"}
    tools = [{"type": "file_search", "vector_store_ids": [one]} for one in (gate, bread)]
    body = {"input": QUESTION, "tools": tools, "max_output_tokens": 24}
    assert shop.post(RESPONSES, body, authorization=f"Bearer {ONE}").status_code == 200


def test_what_leaves_one_library_leaves_them_all(shop: RunningServer) -> None:
    gate, bread = (
        add_library(shop, ONE, gate=GATE),
        add_library(shop, ONE, bread=b"Scones and bread: Fridays."),
    )
    headers = {"authorization": f"Bearer {ONE}"}
    place = f"{STORES}/{gate},{bread}"
    found = shop.post(f"{place}/search", {"query": "bread"}, **headers).json()["data"]
    assert found[0]["filename"] == "bread.txt"
    (file,) = shop.client.get(f"{STORES}/{bread}/files", headers=headers).json()["data"]
    more = add_library(shop, ONE, more=b"Rolls are baked on Tuesdays.")
    (other,) = shop.client.get(f"{STORES}/{more}/files", headers=headers).json()["data"]
    shop.post(f"{STORES}/{bread}/files", {"file_id": other["id"]}, **headers)
    shop.wait_until_read()
    found = shop.post(f"{place}/search", {"query": "rolls"}, **headers).json()["data"]
    assert found[0]["filename"] == "more.txt"
    shop.client.delete(f"{STORES}/{bread}/files/{file['id']}", headers=headers)
    shop.wait_until_read()
    found = shop.post(f"{place}/search", {"query": "bread"}, **headers).json()["data"]
    assert {one["filename"] for one in found} == {"gate.txt", "more.txt"}
    kept = list((shop.core.settings.data / "joint").rglob("*"))
    assert not [path for path in kept if path.is_file() and b"Scones" in path.read_bytes()]
    assert shop.client.delete(f"{STORES}/{bread}", headers=headers).status_code == 200
    assert respond(shop, [gate, bread]).status_code == 404


@pytest.mark.parametrize("ids", [[], [None], [[]], ["", ""], [","], ["nothing", "nowhere"]])
def test_ids_that_name_no_library_are_refused(shop: RunningServer, ids: list[Any]) -> None:
    made = respond(shop, ids)
    assert made.status_code in (400, 404)
    assert made.json()["error"]["message"]


def test_what_is_anothers_is_not_there(shop: RunningServer) -> None:
    gate, bread = add_library(shop, ONE, gate=GATE), add_library(shop, TWO, bread=BREAD)
    assert respond(shop, [gate, bread]).status_code == 404
    assert respond(shop, [gate, bread], key=TWO).status_code == 404


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_several_libraries_are_changed_one_by_one(shop: RunningServer, method: str) -> None:
    gate, bread = add_library(shop, ONE, gate=GATE), add_library(shop, ONE, bread=BREAD)
    options = {"headers": {"authorization": f"Bearer {ONE}"}, "json": {"name": "both"}}
    made = shop.client.request(method, f"{STORES}/{gate},{bread}", **options)
    assert made.status_code == 400
    assert respond(shop, [gate, bread]).status_code == 200


TOOL = {
    "type": "function",
    "function": {
        "name": "look_up_weather",
        "description": "Zanzibar forecasts.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "Zanzibar",
        "schema": {"type": "object", "properties": {"zanzibar": {"type": "string"}}},
    },
}
ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "schema": {"response_format": SCHEMA},
    "object": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [TOOL], "tool_choice": "auto"},
    "no tools": {"tools": [TOOL], "tool_choice": "none"},
    "both": {"tools": [TOOL], "response_format": SCHEMA},
}


@pytest.mark.parametrize("case", ASKED)
def test_pages_are_looked_for_by_what_the_user_said(
    shop: RunningServer, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, bread = add_library(shop, ONE, gate=GATE), add_library(shop, ONE, bread=BREAD)
    seen: list[str] = []
    plain = Library.start_stream

    async def watch(self: Library, question: Any, **options: Any) -> Any:
        seen.append(options["search"])
        return await plain(self, question, **options)

    monkeypatch.setattr(Library, "start_stream", watch)
    told = {"role": "system", "content": "Speak of Zanzibar."}
    function = {"name": "look_up_weather", "arguments": "{}"}
    call = {"id": "c", "type": "function", "function": function}
    result = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "Zanzibar: sun."},
    ]
    for after in ([], result):
        body = {
            "model": f"pace/{gate},{bread}",
            "messages": [told, {"role": "user", "content": QUESTION}, *after],
            "max_tokens": 48,
            **ASKED[case],
        }
        assert shop.post(CHAT, body, authorization=f"Bearer {ONE}").status_code == 200
    assert seen == [QUESTION, QUESTION]
