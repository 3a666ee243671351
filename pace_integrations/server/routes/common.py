"""What several interfaces need of a request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pace_integrations.adapters.tool_calls import Call as ToolCall
from pace_integrations.adapters.tool_calls import CallReader
from pace_integrations.answer import Answer
from pace_integrations.server.bodies import Body, dump_json, read_body
from pace_integrations.server.core import ServerCore
from pace_integrations.server.errors import ApiError

_MAX_LISTED = 100


def get_core(request: Request) -> ServerCore:
    """Return the server's core."""
    core: ServerCore = request.app.state.core
    return core


def get_namespace(request: Request) -> str:
    """Return whose request it is, as the gate has found."""
    namespace: str = request.scope["pace_namespace"]
    return namespace


async def read_json(request: Request) -> Body:
    """Return the JSON object that a request carries."""
    return await read_body(request, get_core(request).settings.max_body)


def read_timeout(request: Request) -> float | None:
    """Return the seconds that an answer may take: as the client says, within the server's limit.

    Raises:
        ApiError: The header is no positive number.
    """
    limit, given = get_core(request).settings.timeout, request.headers.get("x-request-timeout")
    if given is None:
        return limit
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ApiError(400, f"x-request-timeout must be a positive number, got {given!r}")
    return seconds if limit is None else min(seconds, limit)


def make_id(prefix: str) -> str:
    """Return a new id."""
    return f"{prefix}{uuid.uuid4().hex[:24]}"


def split_calls(answer: Answer) -> tuple[str, list[ToolCall]]:
    """Return the text of an answer and the calls of tools in it; one that was cut is text."""
    reader = CallReader()
    items = [*reader.push(answer.text), *reader.finish()]
    calls = [item for item in items if isinstance(item, ToolCall) and item.name is not None]
    texts = (
        item if isinstance(item, str) else item.arguments for item in items if item not in calls
    )
    return "".join(texts), calls


def write_usage(answer: Answer) -> dict[str, Any]:
    """Return the tokens of an answer in the form of Chat Completions."""
    usage = answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def reply_json(value: Mapping[str, Any], status: int = 200) -> Response:
    """Return a reply of JSON."""
    return Response(dump_json(value), status, media_type="application/json")


def reply_list(request: Request, items: Sequence[dict[str, Any]]) -> Response:
    """Return a part of a list, as the client asks for it."""
    query = request.query_params
    try:
        limit = min(max(int(query.get("limit", "20")), 1), _MAX_LISTED)
    except ValueError:
        raise ApiError(400, "limit must be an integer", param="limit") from None
    ordered = list(items) if query.get("order", "desc") == "desc" else list(reversed(items))
    ids = [item["id"] for item in ordered]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    shown = ordered[start : start + limit]
    return reply_json(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": start + limit < len(ordered),
        }
    )
