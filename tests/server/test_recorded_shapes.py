"""Requests in the shapes that the frameworks' clients send, and what must come back."""

from __future__ import annotations

import json

import jsonschema
import pytest
from serving import INVOICE, LEASE, RunningServer

QUESTION = "What is the total amount due?"
USER = {"role": "user", "content": QUESTION}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
SCHEMA = {
    "title": "Out",
    "type": "object",
    "properties": {"answer": {"title": "Answer", "type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "look something up",
        "parameters": {
            "type": "object",
            "properties": {"question": {"type": "string"}},
            "required": ["question"],
        },
    },
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "Out", "strict": True, "schema": SCHEMA},
}


def check_place(found: dict) -> None:
    """A citation names a page that exists, by its label, and words that stand on it."""
    pages = INVOICE if found["document"] == "Invoice" else [LEASE]
    text = pages[found["page"] - 1]
    assert found["page_label"] == (str(found["page"]) if len(pages) > 1 else None)
    assert found["quote"] in text
    assert text[slice(*found["span"])] == found["quote"]
    assert found["file_id"].startswith("file-")


def ask_chat(server: RunningServer, **body: object) -> dict:
    reply = server.post(CHAT, {"model": "pace", "messages": [USER], **body})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("limit", ["max_completion_tokens", "max_tokens"])
def test_the_limit_is_kept_under_both_names(server: RunningServer, limit: str) -> None:
    short = ask_chat(server, **{limit: 2, "temperature": 0.0, "stream": False})
    assert short["usage"]["completion_tokens"] == 2
    assert short["choices"][0]["finish_reason"] == "length"


def test_a_chat_answer_has_usage_and_citations(server: RunningServer) -> None:
    made = ask_chat(server, max_completion_tokens=64, stop=["\n\n"], stream=False, temperature=0)
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "stop"
    usage = made["usage"]
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    citation, note = made["citations"][0], choice["message"]["annotations"][0]
    check_place(citation)
    assert note["url_citation"]["url"] == citation["url"]


@pytest.mark.parametrize("options", [None, {"include_usage": True}])
def test_a_chat_stream_ends_with_usage(server: RunningServer, options: object) -> None:
    body = {"model": "pace", "messages": [USER], "stream": True, "max_completion_tokens": 64}
    if options:
        body["stream_options"] = options
    *chunks, last = server.post_events(CHAT, body)
    assert last == "[DONE]"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0]["role"] == "assistant"
    text = "".join(delta.get("content", "") for delta in deltas)
    whole = ask_chat(server, max_completion_tokens=64)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("extra", [{"stop": ["\n\n"], "max_completion_tokens": 64}, {}])
def test_json_of_a_schema_is_valid(server: RunningServer, extra: dict) -> None:
    made = ask_chat(server, response_format=FORMAT, temperature=0.1, seed=1, **extra)
    jsonschema.validate(json.loads(made["choices"][0]["message"]["content"]), SCHEMA)


def test_json_mode_gives_an_object(server: RunningServer) -> None:
    made = ask_chat(
        server, response_format={"type": "json_object"}, max_completion_tokens=64, stop=["\n\n"]
    )
    assert isinstance(json.loads(made["choices"][0]["message"]["content"]), dict)


@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "function": {"name": "look_up"}}],
    ids=["any", "named"],
)
def test_a_forced_tool_is_called_once(server: RunningServer, choice: object) -> None:
    made = ask_chat(
        server,
        tools=[TOOL],
        tool_choice=choice,
        parallel_tool_calls=False,
        max_completion_tokens=64,
        stop=["\n\n"],
    )
    (call,) = made["choices"][0]["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "look_up")
    assert call["id"]
    parameters = TOOL["function"]["parameters"]
    jsonschema.validate(json.loads(call["function"]["arguments"]), parameters)
    assert made["choices"][0]["finish_reason"] == "tool_calls"


def test_a_free_tool_gives_text_or_a_call(server: RunningServer) -> None:
    made = ask_chat(server, tools=[TOOL], max_completion_tokens=64, stop=["\n\n"])
    message = made["choices"][0]["message"]
    assert message["content"] or message["tool_calls"]


def test_a_streamed_call_has_an_index(server: RunningServer) -> None:
    body = {"messages": [USER], "tools": [TOOL], "tool_choice": "required", "stream": True}
    chunks = [c for c in server.post_events(CHAT, body)[:-1] if c["choices"]]
    calls = [c for x in chunks for c in x["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["index"] for call in calls] == list(range(len(calls)))
    assert all(call["id"] and isinstance(call["function"]["arguments"], str) for call in calls)
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("choice", ["required", None, "auto", "none"])
def test_a_tool_choice_without_tools_is_tolerated(server: RunningServer, choice: object) -> None:
    made = ask_chat(server, tool_choice=choice, max_tokens=64, temperature=0.1, seed=1)
    assert made["choices"][0]["message"]["content"]


def test_a_tool_result_is_answered_with_text(server: RunningServer) -> None:
    call = {"id": "call_1", "type": "function"}
    call["function"] = {"name": "look_up", "arguments": '{"question": "the total"}'}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "381.50 EUR"},
    ]
    made = ask_chat(server, messages=messages, tools=[TOOL], max_tokens=32)
    assert made["choices"][0]["message"]["content"]


@pytest.mark.parametrize("prompt", [QUESTION, [QUESTION]])
def test_completions_answer_a_prompt(server: RunningServer, prompt: object) -> None:
    body = {"model": "pace", "prompt": prompt, "stream": False, "temperature": 0.0}
    made = server.post("/v1/completions", body).json()
    assert made["choices"][0]["text"]
    chunks = server.post_events("/v1/completions", {**body, "stream": True})[:-1]
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk["choices"])
    assert text == made["choices"][0]["text"]


def check_note(note: dict) -> None:
    assert note["type"] == "file_citation"
    assert note["filename"] == ("invoice.pdf" if note["document"] == "Invoice" else "lease.txt")
    assert isinstance(note["index"], int)
    check_place(note)


@pytest.mark.parametrize(
    "given", [QUESTION, [{"type": "message", **USER}], [{"role": "user", "content": QUESTION}]]
)
def test_responses_carry_citations(server: RunningServer, given: object) -> None:
    made = server.post(RESPONSES, {"model": "pace", "input": given, "stream": False}).json()
    assert (made["object"], made["status"]) == ("response", "completed")
    (message,) = made["output"]
    (part,) = message["content"]
    assert part["text"]
    check_note(part["annotations"][0])
    assert made["usage"]["input_tokens_details"]["cached_tokens"] > 0


def test_explicit_nulls_and_a_foreign_model_name_are_tolerated(server: RunningServer) -> None:
    nulls = ("include", "instructions", "max_output_tokens", "metadata", "previous_response_id")
    body = dict.fromkeys((*nulls, "user", "tool_choice", "text", "reasoning"))
    body |= {"input": QUESTION, "model": "gpt-4o-mini", "store": False, "stream": False}
    body |= {"temperature": 0.1, "tools": [], "top_p": 1.0, "truncation": "disabled", "seed": 1}
    reply = server.post(RESPONSES, body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["output"][0]["content"][0]["annotations"]


def test_the_events_of_a_response_build_it_up(server: RunningServer) -> None:
    events = server.post_events(RESPONSES, {"model": "pace", "input": QUESTION, "stream": True})
    kinds = [event["type"].removeprefix("response.") for event in events]
    steps = list(dict.fromkeys(kinds))
    assert steps == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    made = events[-1]["response"]
    text = made["output"][0]["content"][0]["text"]
    assert "".join(e["delta"] for e in events if e["type"].endswith("text.delta")) == text
    (note,) = [e["annotation"] for e in events if e["type"].endswith("annotation.added")]
    check_note(note)
    assert made["output"][0]["content"][0]["annotations"] == [note]
    assert made["usage"]["total_tokens"] > 0
