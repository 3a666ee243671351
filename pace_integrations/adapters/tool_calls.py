"""Tool calls as text: how tools are described, calls are held to a form, and read back.

The form is the one that Qwen and Hermes models were trained on: a JSON object with ``name`` and
``arguments`` between ``<tool_call>`` marks. It knows no framework.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pace_integrations._text import repair_text
from pace_integrations.config import Constraint
from pace_integrations.errors import ConfigError
from pace_integrations.model.constrained.grammar import embed_schema
from pace_integrations.model.constrained.json_schema import reduce_schema

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_MAX_PARALLEL = 16
_NO_ARGUMENTS = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call.

    Attributes:
        name: Its name.
        description: What it does.
        parameters: JSON schema of its arguments.
        is_answer: Whether nothing runs when it is called: its arguments are the answer.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_answer: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The schema that arguments are held to."""
        return reduce_schema({**_NO_ARGUMENTS, **self.parameters})


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model wrote.

    Attributes:
        name: The tool, or None where the text is no call.
        arguments: Its arguments as JSON, or what stands in their place.
    """

    name: str | None
    arguments: str


def parse_tool(given: Mapping[str, Any], *, is_answer: bool = False) -> Tool:
    """Return a tool from a description in the form of OpenAI, Anthropic or MCP.

    Raises:
        ConfigError: It has no name.
    """
    inner = given.get("function", given)
    schemas = (inner.get(key) for key in ("parameters", "input_schema", "inputSchema"))
    parameters = next((schema for schema in schemas if schema), None) or _NO_ARGUMENTS
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str):
        raise ConfigError(f"a tool needs a 'name'; got {json.dumps(given, default=str)[:200]}")
    described = repair_text(str(inner.get("description") or ""))
    return Tool(repair_text(name), described, parameters, is_answer)


def describe_tools(tools: Sequence[Tool], *, plain: bool = False) -> str:
    """Return what a model is told of the tools it may call.

    Args:
        tools: The tools.
        plain: Whether the model was never trained to call tools, so that marks would only lead it
            to repeat them.
    """
    listed = "\n".join(_describe_tool(tool) for tool in tools)
    if plain:
        return f"These tools can be used to help the user:\n{listed}"
    example = '{"name": <function-name>, "arguments": <args-json-object>}'
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        f"You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        f"{listed}\n</tools>\n\nFor each function call, return a json object with function name "
        f"and arguments within {OPEN}{CLOSE} XML tags:\n{OPEN}\n{example}\n{CLOSE}"
    )


def _describe_tool(tool: Tool) -> str:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


def frame_messages(
    messages: Sequence[Message], before: str | None = None, after: str | None = None
) -> list[Message]:
    """Return a conversation with a system message in front and words after its last turn.

    Words are added to a turn of the user only.
    """
    framed: list[Message] = [{"role": "system", "content": before}] if before else []
    framed += messages
    if after and framed and framed[-1]["role"] == "user":
        framed[-1] = {"role": "user", "content": f"{framed[-1]['content']}\n\n{after}"}
    return framed


def write_call(name: str, arguments: Any, *, plain: bool = False) -> str:  # noqa: ANN401 - JSON
    """Return a call as the model writes it, or in plain words."""
    if plain:
        return f"I use {name} with {json.dumps(arguments, ensure_ascii=False)}."
    inner = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{OPEN}\n{inner}\n{CLOSE}"


def write_result(
    content: str, *, name: str | None = None, failed: bool = False, plain: bool = False
) -> str:
    """Return what a tool gave as the model reads it."""
    shown = f"{'Error: ' if failed else ''}{content}"
    if plain:
        return f"{name or 'The tool'} says: {shown}"
    return f"<tool_response>\n{shown}\n</tool_response>"


def constrain_calls(
    tools: Sequence[Tool],
    *,
    required: bool,
    parallel: bool,
    answer: Mapping[str, Any] | None = None,
) -> Constraint:
    """Return what holds an answer to calls of tools.

    Args:
        tools: Tools that may be called.
        required: Whether there must be a call.
        parallel: Whether there may be several.
        answer: Schema of the JSON that may be given instead of a call; None allows any text.
    """
    starts = [f'call ("\\n" call){{0,{_MAX_PARALLEL - 1}}}' if parallel else "call"]
    rules = [f"call: {' | '.join(f'call{i}' for i in range(len(tools)))}"]
    tail = json.dumps(f"}}\n{CLOSE}")
    for i, tool in enumerate(tools):
        head = f'{OPEN}\n{{"name":{json.dumps(tool.name)},"arguments":'
        rules += [
            f"call{i}: {json.dumps(head)} arguments{i} {tail}",
            f"arguments{i}: {embed_schema(tool.arguments)}",
        ]
    if not required and answer is not None:
        starts.append("answer")
        rules.append(f"answer: {embed_schema(reduce_schema(answer))}")
    elif not required:
        starts.append("TEXT")
        rules.append(r"TEXT: /[^<](.|\n)*/")
    return Constraint.lark("\n".join([f"start: {' | '.join(starts)}", *rules]))


class CallReader:
    """Tells calls from other text while it is being written."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def push(self, text: str) -> list[str | Call]:
        """Take new text; return text that is no part of a call, and calls that are complete."""
        self._held += text
        found: list[str | Call] = []
        while True:
            mark = CLOSE if self._inside else OPEN
            before, seen, after = self._held.partition(mark)
            if not seen:
                break
            if self._inside or before.strip():
                found.append(_parse_call(before) if self._inside else before.rstrip("\n"))
            self._held, self._inside = after, not self._inside
        if not self._inside:
            keep = _partial_length(self._held, OPEN)
            shown, self._held = (
                self._held[: len(self._held) - keep],
                self._held[-keep or len(self._held) :],
            )
            found += [shown] if shown else []
        return found

    def finish(self) -> list[str | Call]:
        """Return what is left when no text follows; a call that was cut is one without a name."""
        held, inside, self._held = self._held, self._inside, ""
        if not held.strip():
            return []
        return [Call(None, held.strip()) if inside else held]


def _parse_call(text: str) -> Call:
    try:
        made = json.loads(text)
        name, arguments = made["name"], made["arguments"]
    except (ValueError, KeyError, TypeError):
        return Call(None, text.strip())
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return Call(None, text.strip())
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def _partial_length(text: str, mark: str) -> int:
    """Return the length of the longest start of `mark` that `text` ends with."""
    lengths = range(min(len(text), len(mark) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(mark[:n])), 0)
