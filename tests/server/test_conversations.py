"""Conversations, attachments, and libraries that outgrow the model's context."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from pdfs import typeset
from serving import GATE, INVOICE, RunningServer, serve

from pace_integrations import Pace
from pace_integrations.server import ServerSettings, make_app

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
FIRST, SECOND = "What is the total amount due?", "Who is the tenant?"


def respond(server: RunningServer, **body: object) -> dict:
    reply = server.post(RESPONSES, body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def text_of(made: dict) -> str:
    return made["output"][-1]["content"][0]["text"]


def test_a_fork_sees_what_the_whole_conversation_would(server: RunningServer) -> None:
    first = respond(server, input=FIRST)
    forks = [respond(server, input=SECOND, previous_response_id=first["id"]) for _ in range(2)]
    said = {"type": "message", "role": "assistant", "content": first["output"][-1]["content"]}
    items = [
        {"role": "user", "content": FIRST},
        said,
        {"role": "user", "content": [{"type": "input_text", "text": SECOND}]},
    ]
    whole = respond(server, input=items)
    assert text_of(forks[0]) == text_of(forks[1]) == text_of(whole)
    tokens = {made["usage"]["input_tokens"] for made in (*forks, whole)}
    assert len(tokens) == 1
    alone = respond(server, input=SECOND)
    assert alone["usage"]["input_tokens"] < tokens.pop()


def test_a_response_that_is_not_stored_cannot_be_gone_on_from(server: RunningServer) -> None:
    first = respond(server, input=FIRST, store=False)
    reply = server.post(RESPONSES, {"input": SECOND, "previous_response_id": first["id"]})
    assert reply.status_code == 404


def test_instructions_count_for_one_request(server: RunningServer) -> None:
    told = respond(server, input=FIRST, instructions="Answer in a whole sentence.")
    assert told["instructions"] == "Answer in a whole sentence."
    assert told["usage"]["input_tokens"] > respond(server, input=FIRST)["usage"]["input_tokens"]
    after = respond(server, input=SECOND, previous_response_id=told["id"])
    turns = [("user", FIRST), ("assistant", text_of(told)), ("user", SECOND)]
    whole = respond(server, input=[{"role": role, "content": text} for role, text in turns])
    assert after["usage"]["input_tokens"] == whole["usage"]["input_tokens"]


def test_every_interface_counts_the_same_tokens(server: RunningServer) -> None:
    user = {"role": "user", "content": FIRST}
    chat = server.post(CHAT, {"messages": [user]}).json()["usage"]
    made = respond(server, input=FIRST)["usage"]
    message = server.post(MESSAGES, {"model": "pace", "max_tokens": 512, "messages": [user]}).json()
    usage = message["usage"]
    assert chat["prompt_tokens"] == made["input_tokens"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == made["input_tokens"]
    assert chat["completion_tokens"] == made["output_tokens"] == usage["output_tokens"]


def test_a_file_in_a_message_is_read(server: RunningServer) -> None:
    data = base64.b64encode(typeset(*INVOICE)).decode()
    url = f"data:application/pdf;base64,{data}"
    plain = [{"type": "input_text", "text": FIRST}]
    file = {"type": "input_file", "filename": "a.pdf", "file_data": url}
    asked = [{"role": "user", "content": [file, *plain]}]
    with_file = respond(server, model="pace-nano", input=asked)
    without = respond(server, model="pace-nano", input=[{"role": "user", "content": plain}])
    assert with_file["usage"]["input_tokens"] > without["usage"]["input_tokens"] + 20
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": url}}
    chat = [{"role": "user", "content": [part, {"type": "text", "text": FIRST}]}]
    made = server.post(CHAT, {"model": "pace-nano", "messages": chat}).json()
    assert made["usage"]["prompt_tokens"] == with_file["usage"]["input_tokens"]
    for broken in ("data:application/pdf;base64,%%%", "data:application/pdf;base64,AAAA"):
        file = {"type": "input_file", "filename": "a.pdf", "file_data": broken}
        reply = server.post(RESPONSES, {"input": [{"role": "user", "content": [file]}]})
        assert reply.status_code == 400
        assert reply.json()["error"]["message"]


def test_messages_stream_as_anthropic_does(server: RunningServer) -> None:
    body = {"model": "pace", "max_tokens": 64, "messages": [{"role": "user", "content": FIRST}]}
    whole = server.post(MESSAGES, body).json()
    events = server.post_events(MESSAGES, {**body, "stream": True})
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    text = "".join(d["text"] for d in deltas if d["type"] == "text_delta")
    notes = [d["citation"] for d in deltas if d["type"] == "citations_delta"]
    assert whole["content"] == [{"type": "text", "text": text, "citations": notes}]
    assert whole["stop_reason"] == "end_turn"
    counted = server.post(f"{MESSAGES}/count_tokens", body).json()["input_tokens"]
    assert counted > 0


def test_messages_call_tools(server: RunningServer) -> None:
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    body = {
        "model": "pace",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": FIRST}],
        "tools": [{"name": "look_up", "input_schema": schema}],
        "tool_choice": {"type": "any"},
    }
    made = server.post(MESSAGES, body).json()
    assert made["stop_reason"] == "tool_use"
    call = made["content"][-1]
    assert (call["type"], call["name"], list(call["input"])) == ("tool_use", "look_up", ["query"])
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "381.50 EUR"}
    body["messages"] += [
        {"role": "assistant", "content": made["content"]},
        {"role": "user", "content": [result]},
    ]
    body["tool_choice"] = {"type": "auto"}
    assert server.post(MESSAGES, body).json()["content"][0]["text"]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pace, Path]]:
    """A model whose context holds few pages, and a folder for its server."""
    with Pace.load("pace-nano", context=768) as loaded:
        yield loaded, tmp_path_factory.mktemp("narrow")


def test_a_library_outgrows_the_context(narrow: tuple[Pace, Path]) -> None:
    pace, folder = narrow
    notes = [f"Note {i}. " + f"The shed number {i} stands empty in winter. " * 6 for i in range(8)]
    with serve(make_app(pace, ServerSettings(data=folder))) as server:
        ids = []
        for i, text in enumerate([*notes, GATE.decode()]):
            file = {"file": (f"note-{i}.txt", text.encode())}
            ids.append(server.client.post("/v1/files", files=file).json()["id"])
        made = server.post("/v1/vector_stores", {"name": "notes", "file_ids": ids}).json()
        server.wait_until_read()
        about = server.client.get(f"/v1/vector_stores/{made['id']}").json()
        assert about["file_counts"]["completed"] == 9
        assert about["pace"]["pages"] == 9
        check_outgrown(server, made["id"])
        assert server.client.delete(f"/v1/vector_stores/{made['id']}/files/{ids[0]}").json()
        server.wait_until_read()
    with serve(make_app(pace, ServerSettings(data=folder))) as server:
        server.wait_until_read()
        assert server.client.get(f"/v1/vector_stores/{made['id']}").json()["pace"]["pages"] == 8
        check_outgrown(server, made["id"])


def check_outgrown(server: RunningServer, library: str) -> None:
    """Ask, stream, search and open a page of a library that is larger than the context."""
    query = {"query": "When does the gate open?"}
    best = server.post(f"/v1/vector_stores/{library}/search", query).json()["data"][0]
    assert best["filename"] == "note-8.txt"
    page = server.client.get(best["pace"]["url"], params={"format": "json"}).json()
    assert page["text"] == GATE.decode()
    body = {"model": f"pace/{library}", "input": query["query"], "max_output_tokens": 40}
    whole = respond(server, **body)
    assert text_of(whole)
    assert "support" in whole["pace"]  # a number where the model's was measured
    last = server.post_events(RESPONSES, {**body, "stream": True})[-1]
    assert text_of(last["response"]) == text_of(whole)
