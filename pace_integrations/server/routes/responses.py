"""``/v1/responses``: the interface in which citations reach the frameworks."""

from __future__ import annotations

import asyncio
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
from pace_integrations.server.core import ServerCore, StoredResponse, Target
from pace_integrations.server.errors import ApiError, option_error
from pace_integrations.server.joint_library import JOINT
from pace_integrations.server.requests import Turn, parse_turns, plan_call
from pace_integrations.server.response_items import (
    EventWriter,
    finish_response,
    make_call,
    make_message,
    make_response,
    make_search,
    make_text_part,
)
from pace_integrations.server.routes.common import (
    get_core,
    get_namespace,
    make_id,
    read_json,
    read_timeout,
    reply_json,
    split_calls,
)
from pace_integrations.server.streaming import EventStream, run_until_gone

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request of Responses on its way to a reply."""

    core: ServerCore
    body: Body
    call: Call
    target: Target
    turns: Sequence[Turn]
    items: Sequence[Any]
    response: Mapping[str, Any]
    citations: CitationWriter

    def keep(self, answer: Answer, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the whole reply, kept for requests that go on from it."""
        reply = finish_response(self.response, answer, output, describe_support(answer))
        if self.body.read("store", bool, True):
            turns = (*self.turns, ("assistant", answer.text))
            self.core.store_response(StoredResponse(reply, turns, self.items, self.target))
        return reply

    def search_items(self, answer: Answer) -> list[dict[str, Any]]:
        """Return the search that the server has done, where the request asked for one."""
        if not _search_tools(self.body):
            return []
        shown = "file_search_call.results" in (self.body.read("include", list) or [])
        question = next((t for role, t in reversed(self.turns) if role == "user"), "")
        return [make_search(make_id("fs_"), question, answer.citations if shown else None)]


@router.post("/v1/responses")
@router.post("/responses")
async def create_response(request: Request) -> Response:
    """Answer a conversation, or go on from an earlier answer."""
    body = await read_json(request)
    # Off the event loop: attached files are parsed, and schemas become grammars.
    exchange = await asyncio.to_thread(_open_exchange, request, body)
    if body.read("stream", bool, False):
        writer = EventWriter()

        def fail(error: ApiError) -> bytes:
            inner = {"code": error.code or "server_error", "message": error.message}
            failed = {**exchange.response, "status": "failed", "error": inner}
            return writer.write("response.failed", response=failed)

        events = _stream_events(exchange, writer)
        return await EventStream.open(request, events, exchange.core.settings.ping_seconds, fail)
    answer = await run_until_gone(request, exchange.core.ask(exchange.call, exchange.target))
    text, calls = split_calls(answer) if exchange.call.format.calls else (answer.text, [])
    output = exchange.search_items(answer)
    if text or not calls:
        part = make_text_part(text, exchange.citations.write_file_citations(answer))
        output.append(make_message(make_id("msg_"), [part]))
    output += [make_call(make_id("fc_"), make_id("call_"), call, "completed") for call in calls]
    return reply_json(exchange.keep(answer, output))


@router.get("/v1/responses/{response_id}")
async def get_response(request: Request, response_id: str) -> Response:
    """Return an answer that was kept."""
    return reply_json(get_core(request).get_response(get_namespace(request), response_id).body)


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(request: Request, response_id: str) -> Response:
    """Return what an answer was given to."""
    items = get_core(request).get_response(get_namespace(request), response_id).items
    return reply_json({"object": "list", "data": list(items), "has_more": False})


@router.delete("/v1/responses/{response_id}")
async def delete_response(request: Request, response_id: str) -> Response:
    """Forget an answer."""
    get_core(request).remove_response(get_namespace(request), response_id)
    return reply_json({"id": response_id, "object": "response", "deleted": True})


def _open_exchange(request: Request, body: Body) -> _Exchange:
    core, namespace = get_core(request), get_namespace(request)
    if body.get("background"):
        raise option_error("background", "send stream=true for long answers")
    if body.get("prompt") is not None:
        raise option_error("prompt", "there are no stored prompts; send input and instructions")
    given = body.get("input")
    items = given
    if isinstance(given, str):
        content = [{"type": "input_text", "text": given}]
        items = [{"type": "message", "role": "user", "content": content}]
    if not isinstance(items, list) or not items:
        raise ApiError(400, "input must be a text or a list of items", param="input")
    policy = core.tool_policy
    turns: list[Turn] = list(parse_turns(items, plain=policy == "first"))
    target = core.pick_target(body.read("model", str), namespace)
    previous = body.read("previous_response_id", str)
    if previous is not None:
        earlier = core.get_response(namespace, previous)
        turns = [*earlier.turns, *turns]
        if body.read("model", str) in (None, earlier.target.model):
            target = earlier.target
    target = _pick_searched(core, body, target)
    # Instructions are those of this request alone; they are not handed on to the next.
    told: list[Turn] = [("system", body.read("instructions", str) or "")]
    wanted = (body.read("text", dict) or {}).get("format")
    spoken = [*told, *turns] if told[0][1] else turns
    call = plan_call(spoken, body, policy, read_timeout(request), wanted)
    response = make_response(make_id("resp_"), target.model, body)
    citations = CitationWriter(core, target, str(request.base_url))
    return _Exchange(core, body, call, target, turns, items, response, citations)


def _search_tools(body: Body) -> list[Mapping[str, Any]]:
    tools = body.read("tools", list) or []
    return [tool for tool in tools if isinstance(tool, dict) and tool.get("type") == "file_search"]


def _pick_searched(core: ServerCore, body: Body, target: Target) -> Target:
    """Return who answers when a library is named as a tool."""
    tools = _search_tools(body)
    if not tools:
        return target
    ids = [i for tool in tools for i in tool.get("vector_store_ids") or ()]
    if not ids or not all(isinstance(i, str) for i in ids):
        raise ApiError(400, "file_search needs vector_store_ids, a list of names", param="tools")
    library = core.libraries.get(target.namespace, JOINT.join(ids))
    return Target(target.model, target.namespace, library)


async def _stream_events(exchange: _Exchange, writer: EventWriter) -> AsyncGenerator[bytes]:
    """Write an answer as the events of Responses."""
    item = _ItemStream(exchange, writer)
    started = False
    reader = CallReader() if exchange.call.format.calls else None
    async with aclosing(exchange.core.stream(exchange.call, exchange.target)) as pieces:
        async for piece in pieces:
            if not started:
                yield writer.write("response.created", response=exchange.response)
                yield writer.write("response.in_progress", response=exchange.response)
                started = True
            if isinstance(piece, Answer):
                for part in reader.finish() if reader else ():
                    for event in item.push(part):
                        yield event
                for event in item.finish(piece):
                    yield event
                reply = exchange.keep(piece, item.output)
                kind = "completed" if reply["status"] == "completed" else "incomplete"
                yield writer.write(f"response.{kind}", response=reply)
                continue
            for part in reader.push(piece) if reader else (piece,):
                for event in item.push(part):
                    yield event


class _ItemStream:
    """Builds the items of a reply up, event by event.

    Attributes:
        output: The items that are complete.
    """

    def __init__(self, exchange: _Exchange, writer: EventWriter) -> None:
        self._exchange = exchange
        self._writer = writer
        self._message_id = make_id("msg_")
        self._texts: list[str] = []
        self._open = False
        self.output: list[Mapping[str, Any]] = []

    def push(self, part: str | ToolCall) -> list[bytes]:
        """Return the events of a piece of text or of a call."""
        if isinstance(part, ToolCall) and part.name is not None:
            return [*self._close_message(None), *self._write_call(part)]
        text = part.arguments if isinstance(part, ToolCall) else part
        events = self._open_message()
        self._texts.append(text)
        return [*events, self._write_text("response.output_text.delta", delta=text, logprobs=[])]

    def finish(self, answer: Answer) -> list[bytes]:
        """Return the events that end the last item."""
        events = [] if self._open or self.output else self._open_message()
        events += self._close_message(answer)
        for search in self._exchange.search_items(answer):
            at = len(self.output)
            self.output.append(search)
            for kind in ("added", "done"):
                name = f"response.output_item.{kind}"
                events.append(self._writer.write(name, output_index=at, item=search))
        return events

    def _open_message(self) -> list[bytes]:
        if self._open:
            return []
        self._open = True
        item = make_message(self._message_id, [], "in_progress")
        at = len(self.output)
        added = self._writer.write("response.output_item.added", output_index=at, item=item)
        part = make_text_part("", [])
        return [added, self._write_text("response.content_part.added", part=part)]

    def _write_text(self, kind: str, **values: Any) -> bytes:  # noqa: ANN401 - JSON
        place = {"item_id": self._message_id, "output_index": len(self.output), "content_index": 0}
        return self._writer.write(kind, **place, **values)

    def _close_message(self, answer: Answer | None) -> list[bytes]:
        if not self._open:
            return []
        self._open, text = False, "".join(self._texts)
        notes = self._exchange.citations.write_file_citations(answer) if answer else []
        events = [
            self._write_text(
                "response.output_text.annotation.added", annotation_index=i, annotation=note
            )
            for i, note in enumerate(notes)
        ]
        part = make_text_part(text, notes)
        events.append(self._write_text("response.output_text.done", text=text, logprobs=[]))
        events.append(self._write_text("response.content_part.done", part=part))
        item, at = make_message(self._message_id, [part]), len(self.output)
        events.append(self._writer.write("response.output_item.done", output_index=at, item=item))
        self.output.append(item)
        self._message_id, self._texts = make_id("msg_"), []
        return events

    def _write_call(self, call: ToolCall) -> list[bytes]:
        item_id, call_id, at = make_id("fc_"), make_id("call_"), len(self.output)
        item, done = (make_call(item_id, call_id, call, s) for s in ("in_progress", "completed"))
        self.output.append(done)
        place = {"item_id": item_id, "output_index": at}
        kind = "response.function_call_arguments"
        return [
            self._writer.write("response.output_item.added", output_index=at, item=item),
            self._writer.write(f"{kind}.delta", **place, delta=call.arguments),
            self._writer.write(f"{kind}.done", **place, arguments=call.arguments, name=call.name),
            self._writer.write("response.output_item.done", output_index=at, item=done),
        ]
