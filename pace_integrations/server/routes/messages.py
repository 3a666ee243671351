"""``/v1/messages``: Anthropic's interface, whose citations know pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from pace_integrations.adapters.tool_calls import Call as ToolCall
from pace_integrations.adapters.tool_calls import CallReader
from pace_integrations.answer import Answer
from pace_integrations.server.backend import Call
from pace_integrations.server.bodies import Body
from pace_integrations.server.citations import CitationWriter
from pace_integrations.server.core import ServerCore, Target
from pace_integrations.server.errors import ApiError
from pace_integrations.server.requests import Turn, parse_turns, plan_call, read_text
from pace_integrations.server.routes.common import (
    get_core,
    get_namespace,
    make_id,
    read_json,
    read_timeout,
    reply_json,
    split_calls,
)
from pace_integrations.server.streaming import EventStream, run_until_gone, write_event

router = APIRouter()
_STOPS = {"stop": "end_turn", "length": "max_tokens"}


@router.post("/v1/messages")
async def create_message(request: Request) -> Response:
    """Answer a conversation."""
    body, core = await read_json(request), get_core(request)
    body.require("max_tokens", int)
    call = await asyncio.to_thread(_plan_call, request, body, core)
    target = core.pick_target(body.require("model", str), get_namespace(request))
    citations = CitationWriter(core, target, str(request.base_url))
    if body.read("stream", bool, False):
        events = _stream_events(core, call, target, citations)
        return await EventStream.open(request, events, core.settings.ping_seconds, _write_error)
    answer = await run_until_gone(request, core.ask(call, target))
    text, calls = split_calls(answer) if call.format.calls else (answer.text, [])
    notes = citations.write_page_locations(answer.citations)
    content: list[dict[str, Any]] = []
    if text or not calls:
        content.append({"type": "text", "text": text, "citations": notes or None})
    content += [_write_tool_use(item) for item in calls]
    stop = "tool_use" if calls else _STOPS[answer.finish_reason]
    return reply_json(_make_message(target, content, stop, _write_usage(answer)))


@router.post("/v1/messages/count_tokens")
async def count_tokens(request: Request) -> Response:
    """Return the tokens of a conversation; those of the library come on top."""
    body, core = await read_json(request), get_core(request)
    call = await asyncio.to_thread(_plan_call, request, body, core)
    text = "\n".join(message["content"] for message in call.messages)
    count = await asyncio.to_thread(core.pace.count_tokens, text)
    target = core.pick_target(body.require("model", str), get_namespace(request))
    held = target.library.backend.tokens if target.library and target.library.backend else 0
    return reply_json({"input_tokens": count + held})


def _write_error(error: ApiError) -> bytes:
    inner = {"type": error.kind, "message": error.message}
    return write_event({"type": "error", "error": inner}, "error")


def _plan_call(request: Request, body: Body, core: ServerCore) -> Call:
    policy = core.tool_policy
    system = read_text(body.get("system"))
    messages = _split_results(body.require("messages", list))
    turns: list[Turn] = [("system", system)] if system else []
    turns += parse_turns(messages, plain=policy == "first")
    options = Body(body)
    choice = body.read("tool_choice", dict)
    if choice is not None:
        options["parallel_tool_calls"] = not choice.get("disable_parallel_tool_use", False)
    options["tools"] = [t for t in body.read("tools", list) or () if "input_schema" in t] or None
    if options["tools"]:
        options["tools"] = [{k: v for k, v in t.items() if k != "type"} for t in options["tools"]]
    return plan_call(turns, options, policy, read_timeout(request))


def _split_results(messages: Sequence[Any]) -> list[Any]:
    """Return messages in which calls and results of tools are OpenAI's items."""
    split: list[Any] = []
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, list):
            split.append(message)
            continue
        results = [p for p in content if _is_part(p, "tool_result")]
        calls = [_write_call_item(p) for p in content if _is_part(p, "tool_use")]
        split += [
            {
                "type": "function_call_output",
                "call_id": part.get("tool_use_id"),
                "output": part.get("content"),
            }
            for part in results
        ]
        rest = [part for part in content if part not in results]
        if rest:
            split.append({**message, "content": rest, "tool_calls": calls})
    return split


def _is_part(part: object, kind: str) -> bool:
    return isinstance(part, Mapping) and part.get("type") == kind


def _write_call_item(part: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": part.get("name"), "arguments": json.dumps(part.get("input"))}
    return {"id": part.get("id"), "function": function}


def _write_tool_use(call: ToolCall) -> dict[str, Any]:
    made = {"type": "tool_use", "id": make_id("toolu_"), "name": call.name}
    return {**made, "input": json.loads(call.arguments)}


def _make_message(
    target: Target,
    content: Sequence[Mapping[str, Any]],
    stop: str | None,
    usage: Mapping[str, int],
) -> dict[str, Any]:
    return {
        "id": make_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": target.model,
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": dict(usage),
    }


def _write_usage(answer: Answer) -> dict[str, int]:
    usage = answer.usage
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output_tokens,
    }


async def _stream_events(
    core: ServerCore, call: Call, target: Target, citations: CitationWriter
) -> AsyncGenerator[bytes]:
    """Write an answer as the events of Messages."""

    def event(kind: str, **values: Any) -> bytes:  # noqa: ANN401 - JSON
        return write_event({"type": kind, **values}, kind)

    reader = CallReader() if call.format.calls else None
    index, called, started = 0, False, False
    async with aclosing(core.stream(call, target)) as pieces:
        async for piece in pieces:
            if not started:
                started, usage = True, {"input_tokens": 0, "output_tokens": 0}
                yield event("message_start", message=_make_message(target, [], None, usage))
                block: dict[str, Any] = {"type": "text", "text": ""}
                yield event("content_block_start", index=0, content_block=block)
            if isinstance(piece, Answer):
                items = reader.finish() if reader else []
            else:
                items = reader.push(piece) if reader else [piece]
            for item in items:
                if isinstance(item, str):
                    delta: dict[str, Any] = {"type": "text_delta", "text": item}
                    yield event("content_block_delta", index=0, delta=delta)
                elif item.name is not None:
                    index, called = index + 1, True
                    block = {**_write_tool_use(item), "input": {}}
                    delta = {"type": "input_json_delta", "partial_json": item.arguments}
                    yield event("content_block_start", index=index, content_block=block)
                    yield event("content_block_delta", index=index, delta=delta)
                    yield event("content_block_stop", index=index)
            if isinstance(piece, Answer):
                for note in citations.write_page_locations(piece.citations):
                    delta = {"type": "citations_delta", "citation": note}
                    yield event("content_block_delta", index=0, delta=delta)
                yield event("content_block_stop", index=0)
                stop = "tool_use" if called else _STOPS[piece.finish_reason]
                ended = {"stop_reason": stop, "stop_sequence": None}
                yield event("message_delta", delta=ended, usage=_write_usage(piece))
                yield event("message_stop")
