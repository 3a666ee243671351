"""Requests that cannot be answered: a status and a reason in OpenAI's form, and no 500."""

from __future__ import annotations

import json

import pytest
from serving import RunningServer

CHAT = "/v1/chat/completions"
PATHS = [CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/v1/vector_stores", "/tokenize"]
HELLO = [{"role": "user", "content": "Hello"}]


def check_error(reply, status: int) -> dict:
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert reply.headers["x-request-id"]
    return error


BROKEN = [b"[]", b'"x"', b"null", b"1", b"{", b"\xff\xfe{}", b'{"a": NaN}', b"[" * 100_000, b""]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:8]))
def test_a_body_that_is_no_object_is_refused(server: RunningServer, path: str, data: bytes) -> None:
    reply = server.client.post(path, content=data, headers={"content-type": "application/json"})
    check_error(reply, 400)


def test_a_lone_surrogate_is_refused(server: RunningServer) -> None:
    data = b'{"messages": [{"role": "user", "content": "\\ud800"}]}'
    assert "Unicode" in check_error(server.client.post(CHAT, content=data), 400)["message"]


WRONG = {
    "messages": [None, [], "hi", [1], [{"content": "x"}], [{"role": "pirate", "content": "x"}]],
    "max_tokens": ["many", True, -1],
    "temperature": ["hot", -1, 3],
    "top_p": [2, "all"],
    "stream": ["yes", 1],
    "stop": [{"a": 1}, [1], [""]],
    "model": [5, "pace/nowhere"],
    "seed": [1.5],
    "n": [2, "one"],
    "logprobs": [True, 5],
    "top_logprobs": [3],
    "logit_bias": [{"5": 100}],
    "frequency_penalty": [1.0],
    "functions": [[{"name": "f"}]],
    "tools": ["x", [1], [{"type": "function", "function": {}}], [{"type": "web_search"}]],
    "tool_choice": [7, "nothing_of_that_name"],
    "response_format": [{"type": "xml"}, {"type": "json_schema"}],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(("name", "value"), CASES, ids=str)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_wrong_value_is_refused(
    server: RunningServer, name: str, value: object, stream: bool
) -> None:
    body = {"messages": HELLO, "max_tokens": 4, "stream": stream, name: value}
    if name == "tool_choice":
        body["tools"] = [TOOL]
    check_error(server.post(CHAT, body), 404 if value == "pace/nowhere" else 400)


def test_pictures_are_refused_plainly(server: RunningServer) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body = {"messages": [{"role": "user", "content": [picture]}]}
    error = check_error(server.post(CHAT, body), 400)
    assert error["param"] == "messages[0]"
    assert "image_url" in error["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_prompt_that_is_too_long_is_refused_with_numbers(
    server: RunningServer, stream: bool
) -> None:
    window = server.core.pace.context_window
    body = {"messages": [{"role": "user", "content": "word " * window}], "stream": stream}
    error = check_error(server.post(CHAT, body), 400)
    assert error["code"] == "context_length_exceeded"
    assert str(window) in error["message"]


def test_a_limit_beyond_the_context_leaves_the_prompt_whole(server: RunningServer) -> None:
    made = server.post(CHAT, {"messages": HELLO, "max_tokens": 10_000_000}).json()
    assert made["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", CHAT, 405),
        ("GET", "/v1/models/nothing", 404),
        ("GET", "/v1/files/file-0123456789abcdef", 404),
        ("GET", "/v1/files/..%2f..%2fetc", 404),
        ("DELETE", "/v1/vector_stores/vs_nothing", 404),
        ("GET", "/v1/responses/resp_nothing", 404),
        ("GET", "/pages/papers/99", 404),
    ],
)
def test_what_is_not_there(server: RunningServer, method: str, path: str, status: int) -> None:
    check_error(server.client.request(method, path), status)


def test_a_previous_response_that_is_gone(server: RunningServer) -> None:
    body = {"input": "And?", "previous_response_id": "resp_nothing"}
    assert "resp_nothing" in check_error(server.post("/v1/responses", body), 404)["message"]


def test_an_unknown_library_of_file_search(server: RunningServer) -> None:
    tool = {"type": "file_search", "vector_store_ids": ["vs_nothing"]}
    check_error(server.post("/v1/responses", {"input": "Hello", "tools": [tool]}), 404)


@pytest.mark.parametrize("text", ["Grüße, 日本, 🙂", "a\u0000b", "<|im_end|>", "x" * 2000])
def test_any_text_is_a_question(server: RunningServer, text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8}
    assert server.post(CHAT, body).status_code == 200


def test_parts_of_text_and_developer_messages_are_read(server: RunningServer) -> None:
    parts = [{"type": "text", "text": "Who is "}, {"type": "text", "text": "the tenant?"}]
    told = {"role": "developer", "content": "Be brief."}
    messages = [told, {"role": "user", "content": parts}]
    one = server.post(CHAT, {"messages": messages, "max_tokens": 16}).json()
    messages[1] = {"role": "user", "content": "Who is the tenant?"}
    other = server.post(CHAT, {"messages": messages, "max_tokens": 16}).json()
    assert one["choices"] == other["choices"]


def test_a_stop_string_ends_the_answer(server: RunningServer) -> None:
    body = {"messages": HELLO, "max_tokens": 32}
    text = server.post(CHAT, body).json()["choices"][0]["message"]["content"]
    made = server.post(CHAT, {**body, "stop": text[3:6]}).json()
    assert made["choices"][0]["message"]["content"] == text[: text.index(text[3:6])]


def test_tokens_are_those_of_the_model(server: RunningServer) -> None:
    made = server.post("/tokenize", {"prompt": "Hello there"}).json()
    assert made["tokens"] == server.core.pace.token_ids("Hello there")


def test_a_body_beyond_the_limit_is_refused(server: RunningServer) -> None:
    data = json.dumps({"messages": "x" * server.core.settings.max_body}).encode()
    check_error(server.client.post(CHAT, content=data), 413)
