"""Tool calls as text: how tools are described, how calls are written, held to a form and read back.

The form is the one that Qwen and Hermes models were trained on: a JSON object with ``name`` and
``arguments`` between ``<tool_call>`` marks. It knows no framework.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pace_integrations.config import Constraint
from pace_integrations.model.constrained.json_schema import bounded
from pace_integrations.model.prompts import Message

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_MOST_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call.

    Attributes:
        name: Its name.
        description: What it does.
        parameters: JSON schema of its arguments.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The schema that arguments are held to: an object, closed where nothing says otherwise."""
        schema = {"type": "object", "properties": {}, **self.parameters}
        return {"additionalProperties": False, **schema}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model wrote.

    Attributes:
        name: The tool, or None where the text is no call.
        arguments: Its arguments as JSON, or what stands in their place.
    """

    name: str | None
    arguments: str


def instruction(tools: Sequence[Tool]) -> str:
    """What a model is told of the tools it may call."""
    listed = "\n".join(
        json.dumps(
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            },
            ensure_ascii=False,
        )
        for tool in tools
    )
    example = '{"name": <function-name>, "arguments": <args-json-object>}'
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        f"You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        f"{listed}\n</tools>\n\nFor each function call, return a json object with function name "
        f"and arguments within {OPEN}{CLOSE} XML tags:\n{OPEN}\n{example}\n{CLOSE}"
    )


def framed(
    messages: Sequence[Message], before: str | None = None, after: str | None = None
) -> list[Message]:
    """A conversation with a system message in front and words after its last turn, the user's."""
    told = [Message(role="system", content=before)] if before else []
    told += messages
    if after and told and told[-1]["role"] == "user":
        told[-1] = Message(role="user", content=f"{told[-1]['content']}\n\n{after}")
    return told


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the model writes it."""
    inner = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{OPEN}\n{inner}\n{CLOSE}"


def result_text(content: str, *, failed: bool = False) -> str:
    """What a tool gave, as the model reads it."""
    return f"<tool_response>\n{'Error: ' if failed else ''}{content}\n</tool_response>"


def constraint(tools: Sequence[Tool], *, required: bool, parallel: bool) -> Constraint:
    """Holds an answer to calls of these tools.

    Args:
        tools: Tools that may be called.
        required: Whether there must be a call; otherwise there may be text instead.
        parallel: Whether there may be several.
    """
    calls = f'call ("\\n" call){{0,{_MOST_PARALLEL - 1}}}' if parallel else "call"
    rules = [
        f"start: {calls}" if required else f"start: {calls} | TEXT",
        f'call: "{OPEN}\\n" object "\\n{CLOSE}"',
        f"object: %json {json.dumps(_calls_schema(tools))}",
    ]
    if not required:
        rules.append(r"TEXT: /[^<](.|\n)*/")
    return Constraint.lark("\n".join(rules))


def _calls_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """The schema of one call of any of the tools."""
    places = [f"arguments{i}" for i in range(len(tools))]
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": tool.name},
                    "arguments": {"$ref": f"#/$defs/{place}"},
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool, place in zip(tools, places, strict=True)
        ],
        "$defs": {
            place: _moved(bounded(tool.arguments), f"#/$defs/{place}")
            for tool, place in zip(tools, places, strict=True)
        },
        "x-guidance": {"whitespace_flexible": False},
    }


def _moved(schema: Any, place: str) -> Any:  # noqa: ANN401 - any part of a schema
    """A schema whose references into itself hold when it stands at `place` in another one."""
    if isinstance(schema, list):
        return [_moved(part, place) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for key, value in schema.items()
    }


class CallReader:
    """Tells calls from other text while it is being written."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def push(self, text: str) -> list[str | Call]:
        """Takes new text; gives text that is no part of a call, and calls that are complete."""
        self._held += text
        found: list[str | Call] = []
        while True:
            mark = CLOSE if self._inside else OPEN
            before, seen, after = self._held.partition(mark)
            if not seen:
                break
            if self._inside or before.strip():
                found.append(_call(before) if self._inside else before.rstrip("\n"))
            self._held, self._inside = after, not self._inside
        if not self._inside:
            keep = _start_of(self._held, OPEN)
            shown, self._held = (
                self._held[: len(self._held) - keep],
                self._held[-keep or len(self._held) :],
            )
            found += [shown] if shown else []
        return found

    def finish(self) -> list[str | Call]:
        """What is left when no text follows; a call that was cut is one without a name."""
        held, inside, self._held = self._held, self._inside, ""
        if not held.strip():
            return []
        return [Call(None, held.strip()) if inside else held]


def _call(text: str) -> Call:
    try:
        made = json.loads(text)
        name, arguments = made["name"], made["arguments"]
    except (ValueError, KeyError, TypeError):
        return Call(None, text.strip())
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return Call(None, text.strip())
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def _start_of(text: str, mark: str) -> int:
    """Length of the longest start of `mark`, or of line breaks before it, that `text` ends with."""
    lengths = range(min(len(text), len(mark) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(mark[:n])), 0)
