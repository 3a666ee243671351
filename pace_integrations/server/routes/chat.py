"""``/v1/chat/completions`` and ``/v1/completions``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from pace_integrations.adapters.tool_calls import Call as ToolCall
from pace_integrations.adapters.tool_calls import CallReader
from pace_integrations.answer import Answer
from pace_integrations.server.backend import Call
from pace_integrations.server.bodies import Body
from pace_integrations.server.citations import CitationWriter, describe_support
from pace_integrations.server.core import ServerCore, Target
from pace_integrations.server.errors import ApiError
from pace_integrations.server.requests import parse_turns, plan_call
from pace_integrations.server.routes.common import (
    get_core,
    get_namespace,
    make_id,
    read_json,
    read_timeout,
    reply_json,
    split_calls,
    write_usage,
)
from pace_integrations.server.streaming import EventStream, run_until_gone, write_event

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request of Chat Completions or Completions on its way to a reply."""

    core: ServerCore
    call: Call
    target: Target
    citations: CitationWriter
    id: str
    created: int
    tells_usage: bool = True

    def frame(self, kind: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.target.model,
            "system_fingerprint": None,
            "choices": list(choices),
        }

    def describe(self, answer: Answer) -> dict[str, Any]:
        """Return what stands beside the choices."""
        return {
            "usage": write_usage(answer),
            "citations": [self.citations.describe(c) for c in answer.citations],
            "pace": describe_support(answer),
        }

    def write_tail(self, kind: str, answer: Answer) -> bytes:
        """Return the last chunk of a stream, which has no choice.

        Usage is volunteered: clients of custom addresses send no ``stream_options``.
        """
        told = self.describe(answer)
        if not self.tells_usage:
            del told["usage"]
        return write_event(self.frame(kind, []) | told)


@router.post("/v1/chat/completions")
@router.post("/chat/completions")
async def complete_chat(request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request)
    messages = body.require("messages", list)
    # Off the event loop: attached files are parsed, and schemas become grammars.
    exchange = await asyncio.to_thread(_open_exchange, request, body, messages, "chatcmpl-")
    if body.read("stream", bool, False):
        events = _stream_chat(exchange)
        return await EventStream.open(request, events, exchange.core.settings.ping_seconds)
    answer = await run_until_gone(request, exchange.core.ask(exchange.call, exchange.target))
    text, calls = split_calls(answer) if exchange.call.format.calls else (answer.text, [])
    message = {
        "role": "assistant",
        "content": text if text or not calls else None,
        "refusal": None,
        "annotations": exchange.citations.write_url_citations(answer),
    }
    if calls:
        message["tool_calls"] = [_write_call(call) for call in calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "tool_calls" if calls else answer.finish_reason,
    }
    reply = exchange.frame("chat.completion", [choice]) | exchange.describe(answer)
    return reply_json(reply)


@router.post("/v1/completions")
@router.post("/completions")
async def complete_text(request: Request) -> Response:
    """Answer a prompt."""
    body = await read_json(request)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise ApiError(400, "prompt must be a text, or a list with one text", param="prompt")
    messages = [{"role": "user", "content": prompt}]
    exchange = await asyncio.to_thread(_open_exchange, request, body, messages, "cmpl-")
    if body.read("stream", bool, False):
        events = _stream_text(exchange)
        return await EventStream.open(request, events, exchange.core.settings.ping_seconds)
    answer = await run_until_gone(request, exchange.core.ask(exchange.call, exchange.target))
    choice = _write_text_choice(answer.text, answer.finish_reason)
    reply = exchange.frame("text_completion", [choice]) | exchange.describe(answer)
    return reply_json(reply)


def _open_exchange(request: Request, body: Body, messages: Sequence[Any], prefix: str) -> _Exchange:
    core = get_core(request)
    policy = core.tool_policy
    turns = parse_turns(messages, plain=policy == "first")
    call = plan_call(turns, body, policy, read_timeout(request), body.get("response_format"))
    target = core.pick_target(body.read("model", str), get_namespace(request))
    citations = CitationWriter(core, target, str(request.base_url))
    options = Body(body.read("stream_options", dict) or {})
    told = bool(options.read("include_usage", bool, True))
    return _Exchange(core, call, target, citations, make_id(prefix), int(time.time()), told)


def _write_call(call: ToolCall, index: int | None = None) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    made = {"id": make_id("call_"), "type": "function", "function": function}
    return made if index is None else {"index": index, **made}


async def _stream_chat(exchange: _Exchange) -> AsyncGenerator[bytes]:
    """Write the chunks of an answer, then its citations, its usage and the end."""

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return write_event(exchange.frame("chat.completion.chunk", [choice]))

    reader = CallReader() if exchange.call.format.calls else None
    calls, started = 0, False
    async with aclosing(exchange.core.stream(exchange.call, exchange.target)) as pieces:
        async for piece in pieces:
            if not started:
                yield chunk({"role": "assistant", "content": ""})
                started = True
            last = isinstance(piece, Answer)
            items: list[str | ToolCall]
            if reader is None:
                items = [] if isinstance(piece, Answer) else [piece]
            else:
                items = reader.finish() if isinstance(piece, Answer) else reader.push(piece)
            for item in items:
                if isinstance(item, ToolCall) and item.name is not None:
                    yield chunk({"tool_calls": [_write_call(item, calls)]})
                    calls += 1
                elif text := item if isinstance(item, str) else item.arguments:
                    yield chunk({"content": text})
            if last and isinstance(piece, Answer):
                if annotations := exchange.citations.write_url_citations(piece):
                    yield chunk({"annotations": annotations})
                yield chunk({}, "tool_calls" if calls else piece.finish_reason)
                yield exchange.write_tail("chat.completion.chunk", piece)
    yield write_event("[DONE]")


def _write_text_choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}


async def _stream_text(exchange: _Exchange) -> AsyncGenerator[bytes]:
    async with aclosing(exchange.core.stream(exchange.call, exchange.target)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                choice = _write_text_choice("", piece.finish_reason)
                yield write_event(exchange.frame("text_completion", [choice]))
                yield exchange.write_tail("text_completion", piece)
            else:
                choice = _write_text_choice(piece, None)
                yield write_event(exchange.frame("text_completion", [choice]))
    yield write_event("[DONE]")
