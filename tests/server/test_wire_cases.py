"""Requests as suites for OpenAI's interfaces send them: shapes, orders, limits and bad manners."""

from __future__ import annotations

import json
import socket
from itertools import pairwise
from typing import Any

import httpx
import pytest
from serving import BASE, RunningServer

CHAT, TEXT, RESPONSES, MESSAGES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
QUESTION = "What is the total amount due?"
USER = [{"role": "user", "content": QUESTION}]
SHORT: dict[str, Any] = {"messages": USER, "max_tokens": 8}
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PLACE}}
FLAT = {"type": "function", "name": "weather", "parameters": PLACE}


def ok(reply: httpx.Response) -> Any:
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(reply: httpx.Response, status: int = 400) -> Any:
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


# Responses, after the list of the Open Responses suite.

FIELDS = {
    "background": False,
    "completed_at": int,
    "created_at": int,
    "error": None,
    "frequency_penalty": 0.0,
    "id": str,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "pace",
    "object": "response",
    "output": list,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": dict,
    "safety_identifier": None,
    "service_tier": "default",
    "status": "completed",
    "store": True,
    "temperature": float,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": dict,
    "user": None,
}


def test_a_response_has_every_field(server: RunningServer) -> None:
    made = ok(server.post(RESPONSES, {"model": "pace", "input": QUESTION}))
    for name, wanted in FIELDS.items():
        if isinstance(wanted, type):
            assert isinstance(made[name], wanted), name
        else:
            assert made[name] == wanted, name
    (item,) = made["output"]
    assert {"id", "type", "role", "status", "content"} <= set(item)
    usage = made["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_what_was_asked_is_echoed(server: RunningServer) -> None:
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "metadata": {"topic": "rent"},
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "tools": [FLAT],
        "tool_choice": "none",
        "store": False,
    }
    made = ok(server.post(RESPONSES, {"input": QUESTION, **asked}))
    assert {name: made[name] for name in asked if name != "tools"} == {
        name: value for name, value in asked.items() if name != "tools"
    }
    assert made["tools"][0]["name"] == "weather"


def test_events_come_in_order_and_add_up(server: RunningServer) -> None:
    events = server.post_events(RESPONSES, {"input": QUESTION, "stream": True})
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    order = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    places = [kinds.index(kind) for kind in order]
    assert all(a < b for a, b in pairwise(places))
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    done = events[kinds.index("response.output_text.done")]
    final = events[-1]["response"]
    part = final["output"][0]["content"][0]
    assert text == done["text"] == part["text"]
    added = [e for e in events if e["type"] == "response.output_text.annotation.added"]
    assert [e["annotation"] for e in added] == part["annotations"]
    assert {e["item_id"] for e in events if "item_id" in e} == {final["output"][0]["id"]}
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["id"] == final["id"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_cut_is_incomplete(server: RunningServer, stream: bool) -> None:
    body = {"input": QUESTION, "max_output_tokens": 1, "stream": stream}
    if stream:
        last = server.post_events(RESPONSES, body)[-1]
        assert last["type"] == "response.incomplete"
        made = last["response"]
    else:
        made = ok(server.post(RESPONSES, body))
    assert made["status"] == "incomplete"
    assert made["incomplete_details"] == {"reason": "max_output_tokens"}
    assert made["usage"]["output_tokens"] == 1


def test_a_called_function_streams_its_arguments(server: RunningServer) -> None:
    body = {"input": "Weather in Oslo?", "tools": [FLAT], "tool_choice": "required"}
    events = server.post_events(RESPONSES, {**body, "stream": True})
    kind = "response.function_call_arguments"
    pieces = "".join(e["delta"] for e in events if e["type"] == f"{kind}.delta")
    (done,) = [e for e in events if e["type"] == f"{kind}.done"]
    (item,) = events[-1]["response"]["output"]
    assert pieces == done["arguments"] == item["arguments"]
    assert isinstance(json.loads(pieces)["place"], str)
    named = {"type": "function", "name": "weather"}
    (item,) = ok(server.post(RESPONSES, {**body, "tool_choice": named}))["output"]
    assert (item["type"], item["name"], item["status"]) == (
        "function_call",
        "weather",
        "completed",
    )


def test_turns_of_every_kind_are_read(server: RunningServer) -> None:
    items = [
        {"type": "message", "role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "input_text", "text": "Answer in words."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Oslo?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "Rain."}],
        },
    ]
    assert ok(server.post(RESPONSES, {"input": items, "tools": [FLAT]}))["status"] == "completed"


REFUSED_RESPONSES: dict[str, dict[str, Any]] = {
    "no input": {},
    "empty list": {"input": []},
    "empty text": {"input": ""},
    "blank text": {"input": " \n"},
    "number": {"input": 5},
    "an item that is none": {"input": [None]},
    "image": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
    "top_logprobs": {"input": "x", "top_logprobs": 2},
    "logprobs by include": {"input": "x", "include": ["message.output_text.logprobs"]},
    "stored prompt": {"input": "x", "prompt": {"id": "pmpt_1"}},
    "conversation": {"input": "x", "conversation": "conv_1"},
    "background": {"input": "x", "background": True},
    "no room": {"input": "x", "max_output_tokens": 0},
    "a tool of theirs": {"input": "x", "tools": [{"type": "web_search"}]},
    "a tool that is not there": {"input": "x", "tools": [FLAT], "tool_choice": {"name": "rain"}},
    "a schema that is none": {
        "input": "x",
        "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "strin"}}},
    },
    "text that is none": {"input": "x", "text": "json"},
    "instructions that are none": {"input": "x", "instructions": [1]},
}


@pytest.mark.parametrize("case", REFUSED_RESPONSES)
@pytest.mark.parametrize("stream", [False, True])
def test_responses_refuse(server: RunningServer, case: str, stream: bool) -> None:
    refused(server.post(RESPONSES, {**REFUSED_RESPONSES[case], "stream": stream}))


NULLS = ("include", "instructions", "max_output_tokens", "metadata", "parallel_tool_calls")
NULLS += ("previous_response_id", "reasoning", "store", "stream", "temperature", "text")
NULLS += ("tool_choice", "tools", "top_p", "truncation", "user", "conversation", "prompt")


def test_explicit_nulls_are_what_is_left_out(server: RunningServer) -> None:
    plain = ok(server.post(RESPONSES, {"input": QUESTION}))
    nulls = ok(server.post(RESPONSES, {"input": QUESTION, **dict.fromkeys(NULLS)}))
    assert nulls["output"][0]["content"] == plain["output"][0]["content"]


# Chat Completions, after llama.cpp's and vLLM's own tests.

TOOL_CHOICES: list[tuple[dict[str, Any], bool]] = [
    ({"tool_choice": None}, False),
    ({"tool_choice": None, "tools": None}, False),
    ({"tool_choice": "auto"}, False),
    ({"tool_choice": "required"}, False),  # LlamaIndex sends it without tools
    ({"tool_choice": "required", "tools": []}, False),
    ({"tool_choice": "none", "tools": [TOOL]}, False),
    ({"tool_choice": "required", "tools": [TOOL]}, True),
    ({"tool_choice": {"type": "function", "function": {"name": "weather"}}, "tools": [TOOL]}, True),
]


@pytest.mark.parametrize(("options", "calls"), TOOL_CHOICES, ids=str)
def test_a_choice_of_tools_is_tolerated_or_followed(
    server: RunningServer, options: dict[str, Any], calls: bool
) -> None:
    body = {"messages": [{"role": "user", "content": "Weather in Oslo?"}], **options}
    (choice,) = ok(server.post(CHAT, {**body, "max_tokens": 60}))["choices"]
    assert ("tool_calls" in choice["message"]) == calls
    assert (choice["finish_reason"] == "tool_calls") == calls
    if calls:
        (call,) = choice["message"]["tool_calls"]
        assert choice["message"]["content"] is None
        assert isinstance(json.loads(call["function"]["arguments"])["place"], str)


BAD_CALLS = ["weather", {"function": {}}, [1], [{"id": "c"}], [{"id": "c", "function": "weather"}]]


@pytest.mark.parametrize("calls", BAD_CALLS, ids=str)
def test_calls_in_a_conversation_must_be_calls(server: RunningServer, calls: object) -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    error = refused(server.post(CHAT, {"messages": [*USER, turn, *USER]}))
    assert error["param"] == "messages[1]"
    turn = {"role": "assistant", "content": None, "tool_calls": None}
    ok(server.post(CHAT, {"messages": [*USER, turn, *USER], "max_tokens": 2}))


def test_arguments_that_are_no_json_are_read_as_they_are(server: RunningServer) -> None:
    function = {"name": "weather", "arguments": "Oslo, I think"}
    turn = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": function}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "Rain."}
    ok(server.post(CHAT, {"messages": [*USER, turn, result], "max_tokens": 4}))


REFUSED_CHAT: dict[str, dict[str, Any]] = {
    "max_tokens": {"max_tokens": 0},
    "max_completion_tokens": {"max_tokens": None, "max_completion_tokens": 0},
    "top_p": {"top_p": 0},
    "top_k": {"top_k": -2},
    "seed": {"seed": 2**70},
    "stop": {"stop": ["a"] * 17},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 1},
    "n": {"n": 0},
    "function_call": {"function_call": {"name": "weather"}},
    "modalities": {"modalities": ["text", "audio"]},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "stream_options": {"stream": True, "stream_options": 5},
    "response_format": {"response_format": "json"},
    "tool_choice": {"tools": [TOOL], "tool_choice": 7},
}


@pytest.mark.parametrize("param", REFUSED_CHAT)
def test_chat_names_what_it_refuses(server: RunningServer, param: str) -> None:
    assert refused(server.post(CHAT, {**SHORT, **REFUSED_CHAT[param]}))["param"] == param


@pytest.mark.parametrize(
    "harmless",
    [
        {"logprobs": False, "top_logprobs": None},
        {"top_logprobs": 0},
        {"n": 1, "best_of": 1},
        {"stop": None},
        {"stop": []},
        {"top_k": -1},
        {"seed": -1},
        {"modalities": ["text"], "audio": None},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}},
        {"user": "someone", "service_tier": "auto", "store": False, "metadata": {"a": "b"}},
        {"a_setting_of_tomorrow": {"x": 1}},
    ],
    ids=str,
)
def test_what_asks_for_nothing_changes_nothing(
    server: RunningServer, harmless: dict[str, Any]
) -> None:
    plain = ok(server.post(CHAT, SHORT))["choices"]
    assert ok(server.post(CHAT, {**SHORT, **harmless}))["choices"] == plain


def test_the_prompt_that_was_read_is_counted_as_cached(server: RunningServer) -> None:
    body = {**SHORT, "messages": [{"role": "user", "content": "Who is the supplier of it?"}]}
    usages = [ok(server.post(CHAT, body))["usage"] for _ in range(2)]
    last = server.post_events(CHAT, {**body, "stream": True})[-2]
    usages.append(last["usage"])
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert 0 < cached[0] <= cached[1] == cached[2]
    assert len({usage["prompt_tokens"] for usage in usages}) == 1
    assert all(count <= usage["prompt_tokens"] for count, usage in zip(cached, usages, strict=True))
    assert last["choices"] == []
    # The model alone has read no document.
    alone = ok(server.post(CHAT, {**body, "model": "pace-nano"}))["usage"]
    assert alone["prompt_tokens"] < usages[0]["prompt_tokens"]


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, True),
        ({"stream_options": None}, True),
        ({"stream_options": {"include_usage": True}}, True),
        ({"stream_options": {"include_usage": False}}, False),
    ],
    ids=str,
)
def test_usage_is_told_unless_it_is_declined(
    server: RunningServer, path: str, options: dict[str, Any], told: bool
) -> None:
    body = {**SHORT, "prompt": QUESTION, "stream": True, **options}
    *chunks, end = server.post_events(path, body)
    assert end == "[DONE]"
    assert ["usage" in chunk for chunk in chunks] == [*[False] * (len(chunks) - 1), told]
    finishes = [c["finish_reason"] for chunk in chunks for c in chunk["choices"]]
    assert [reason for reason in finishes if reason] == finishes[-1:]
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("stop", ["0", ["nothing of it", "381"], "due", "€"])
def test_a_stop_string_never_shows(server: RunningServer, stop: str | list[str]) -> None:
    whole = ok(server.post(CHAT, {**SHORT, "max_tokens": 40}))["choices"][0]["message"]["content"]
    body = {**SHORT, "max_tokens": 40, "stop": stop}
    made = ok(server.post(CHAT, body))["choices"][0]
    text = made["message"]["content"]
    events = server.post_events(CHAT, {**body, "stream": True})
    deltas = [c["delta"].get("content") or "" for e in events[:-1] for c in e["choices"]]
    assert "".join(deltas) == text
    words = [stop] if isinstance(stop, str) else stop
    assert not any(word in text for word in words)
    if any(word in whole for word in words):
        assert whole.startswith(text)
        assert made["finish_reason"] == "stop"


UNICODE = [
    "Größe? 日本語で",
    "🙂👩‍👩‍👧 family",
    "e\u0301 and \u00e9",
    "\u202eright to left",
    "a\r\nb\tc",
]


@pytest.mark.parametrize("text", UNICODE)
@pytest.mark.parametrize("path", [CHAT, RESPONSES, TEXT, MESSAGES])
def test_any_script_goes_in_and_comes_out(server: RunningServer, text: str, path: str) -> None:
    messages = [{"role": "user", "content": text}]
    name, asked = {TEXT: ("prompt", text), RESPONSES: ("input", text)}.get(
        path, ("messages", messages)
    )
    body = {name: asked, "model": "pace", "max_tokens": 8}
    reply = server.client.post(path, content=json.dumps(body, ensure_ascii=False).encode())
    escaped = server.post(path, body)  # as \\u escapes
    assert reply.status_code == escaped.status_code == 200, reply.text
    for made in (reply, escaped):
        made.content.decode("utf-8")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "x", "echo": True}, "echo"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "best_of": 2}, "best_of"),
        ({"prompt": "x", "logprobs": 0}, "logprobs"),
        ({"prompt": "x", "logprobs": 5}, "logprobs"),
        ({"prompt": "x", "n": 3}, "n"),
    ],
    ids=str,
)
def test_completions_name_what_they_refuse(
    server: RunningServer, body: dict[str, Any], param: str
) -> None:
    assert refused(server.post(TEXT, body))["param"] == param


# What is no request at all, and clients that leave.


def exchange_by_hand(server: RunningServer, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(server.socket)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
RAW = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "a length that is none": HEAD + b"content-length: many\r\n\r\n{}",
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "a body that ends early": HEAD + b"content-length: 500\r\n\r\n{",
    "a chunk that ends early": HEAD + b"transfer-encoding: chunked\r\n\r\n10\r\n{",
    "nothing": b"",
}


@pytest.mark.parametrize("case", RAW)
def test_what_is_no_request_harms_nobody(server: RunningServer, case: str) -> None:
    reply = exchange_by_hand(server, RAW[case])
    assert reply == b"" or reply.startswith(b"HTTP/1.1 4"), reply
    assert server.client.get("/health").status_code == 200
    ok(server.post(CHAT, {**SHORT, "max_tokens": 2}))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"messages": []}'.encode("utf-16"), "Unicode"),
        (b'\xef\xbb\xbf{"messages": []}', "JSON"),
        (b'{"max_tokens": ' + b"9" * 5000 + b"}", "JSON"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 1e400}', "max_tokens"),
        (b'{"a": Infinity}', "JSON"),
        (b"[{}]", "object"),
        (b"true", "object"),
        (b"{'messages': []}", "JSON"),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_body_that_is_none_is_named(
    server: RunningServer, path: str, data: bytes, kind: str
) -> None:
    if path == RESPONSES and kind == "max_tokens":
        data, kind = data.replace(b"max_tokens", b"max_output_tokens"), "m"
    if path == RESPONSES:
        data = data.replace(b'"messages": [{"role": "user", "content": "x"}]', b'"input": "x"')
    assert kind in refused(server.client.post(path, content=data))["message"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_monitors_may_ask_for_heads(server: RunningServer, path: str) -> None:
    reply = server.client.head(path)
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize("count", [0, 51, -1, "many", 1.5])
def test_a_search_has_limits(server: RunningServer, count: object) -> None:
    place = "/v1/vector_stores/papers/search"
    assert refused(server.post(place, {"query": "rent", "max_num_results": count}))
    found = ok(server.post(place, {"query": ["rent", "month"], "max_num_results": 1}))
    assert len(found["data"]) == 1


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("../../etc/passwd.txt", b"The oak.", 200),
        ("größe 日本.txt", b"The oak.", 200),
        ("a.txt", b"", 400),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4, 415),
        ("tool.exe", b"MZ" + bytes(range(256)) * 8, 415),
    ],
)
def test_files_are_kept_by_what_they_are(
    server: RunningServer, name: str, content: bytes, status: int
) -> None:
    reply = server.client.post("/v1/files", files={"file": (name, content)})
    assert reply.status_code == status, reply.text
    if status == 200:
        made = reply.json()
        assert made["filename"] == name.rsplit("/", 1)[-1]
        assert server.client.delete(f"/v1/files/{made['id']}").json()["deleted"]


def test_an_address_that_is_absolute_is_that_of_this_server(server: RunningServer) -> None:
    made = ok(server.post(RESPONSES, {"input": "Who is the tenant?"}))
    links = [note["url"] for note in made["output"][0]["content"][0]["annotations"]]
    assert links
    assert all(link.startswith(f"{BASE}/pages/papers/") for link in links)
