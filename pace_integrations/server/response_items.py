"""The objects of Responses: the reply, its items, and the events that build them up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pace_integrations.adapters.tool_calls import Call as ToolCall
from pace_integrations.answer import Answer, Citation
from pace_integrations.server.bodies import Body
from pace_integrations.server.citations import name_source
from pace_integrations.server.streaming import write_event

# What the reply repeats of the request, and what it says where the request says nothing.
_REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 0.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def make_response(response_id: str, model: str, body: Body) -> dict[str, Any]:
    """Return the reply before anything has been written."""
    repeated = {k: v if (given := body.get(k)) is None else given for k, v in _REPEATED.items()}
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "model": model,
        "output": [],
        "reasoning": {"effort": None, "summary": None},
        "usage": None,
        **repeated,
    }


def finish_response(
    response: Mapping[str, Any],
    answer: Answer,
    output: Sequence[Mapping[str, Any]],
    support: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the reply with all that was written."""
    complete, usage = answer.finish_reason == "stop", answer.usage
    return {
        **response,
        "status": "completed" if complete else "incomplete",
        "completed_at": int(time.time()) if complete else None,
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "output": list(output),
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        },
        "pace": dict(support),
    }


def make_text_part(text: str, annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of a message."""
    kept = list(annotations)
    return {"type": "output_text", "text": text, "annotations": kept, "logprobs": []}


def make_message(
    item_id: str, content: Sequence[Mapping[str, Any]], status: str = "completed"
) -> dict[str, Any]:
    """Return a message of the assistant."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": list(content),
    }


def make_call(item_id: str, call_id: str, call: ToolCall, status: str) -> dict[str, Any]:
    """Return a call of a function; while it is in progress, its arguments are yet to come."""
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call_id,
        "name": call.name,
        "arguments": call.arguments if status == "completed" else "",
        "status": status,
    }


def make_search(item_id: str, query: str, found: Sequence[Citation] | None) -> dict[str, Any]:
    """Return the call of the search that the server has done itself."""
    results = None
    if found is not None:
        results = [
            {
                "file_id": f"file-{citation.document_id}",
                "filename": name_source(citation),
                "score": citation.score,
                "text": citation.quote,
                "attributes": {"page": citation.page, "page_label": citation.page_label or ""},
            }
            for citation in found
        ]
    return {
        "id": item_id,
        "type": "file_search_call",
        "status": "completed",
        "queries": [query],
        "results": results,
    }


class EventWriter:
    """Numbers the events of one stream."""

    def __init__(self) -> None:
        self._number = 0

    def write(self, kind: str, **values: Any) -> bytes:  # noqa: ANN401 - JSON
        """Return the next event."""
        event = {"type": kind, "sequence_number": self._number, **values}
        self._number += 1
        return write_event(event, kind)
