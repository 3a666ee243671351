"""What `bind_tools` and `with_structured_output` say of an answer, as constraints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from pace_integrations.adapters.argument_grounding import grounded
from pace_integrations.adapters.tool_calls import Tool, constraint, framed, instruction
from pace_integrations.config import Constraint
from pace_integrations.errors import ConfigError
from pace_integrations.model.constrained.json_schema import everywhere
from pace_integrations.model.prompts import Message

Policy = Literal["model", "first"]


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer must look like, and what the model is told of it.

    Attributes:
        constraint: What the answer is held to, or None for free text.
        calls: Whether it may hold tool calls.
        before: A system message for it, or None.
        after: What is added to the last turn.
    """

    constraint: Constraint | None = None
    calls: bool = False
    before: str | None = None
    after: str | None = None

    def told(self, messages: Sequence[Message]) -> list[Message]:
        """A conversation in which the model is told of the form."""
        return framed(messages, self.before, self.after)


def form_of(options: Mapping[str, Any], messages: Sequence[BaseMessage], policy: Policy) -> Form:
    """The form that the options of a call ask for.

    Args:
        options: `tools`, `tool_choice`, `parallel_tool_calls` and `response_format`, as OpenAI's
            interface names them.
        messages: The conversation.
        policy: Who decides whether a tool is called where the choice is free.

    Raises:
        ConfigError: An option names no tool, or is of no known form.
    """
    schema = _response_schema(options.get("response_format"))
    if schema is not None:
        told = f"Answer with JSON that is valid under this schema:\n{json.dumps(schema)}"
        return Form(Constraint.json_schema(schema), after=told)
    tools = [_tool(tool) for tool in options.get("tools") or ()]
    choice = options.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return Form()
    chosen = _chosen(tools, choice)
    required, parallel = _freedom(options, choice, messages, policy)
    if required is None:
        # A model that was never trained to call tools looks for what to do at the end.
        return Form(before=instruction(tools), after=_asked(messages))
    if policy == "first":
        chosen = grounded(chosen, _asked(messages))
    held = constraint(chosen, required=required, parallel=parallel)
    return Form(held, calls=True, before=instruction(tools))


def _freedom(
    options: Mapping[str, Any],
    choice: Any,  # noqa: ANN401 - as the user wrote it
    messages: Sequence[BaseMessage],
    policy: Policy,
) -> tuple[bool | None, bool]:
    """Whether there must be a call (None: there must be none), and whether there may be several."""
    parallel = options.get("parallel_tool_calls")
    several = policy == "model" if parallel is None else bool(parallel)
    if choice != "auto":
        # A tool that is named is called once.
        return True, several and choice in ("any", "required", True)
    if policy == "model":
        return False, several
    return (None if _answered(messages) else True), several


def _asked(messages: Sequence[BaseMessage]) -> str:
    """What the user said last."""
    said = (message.text for message in reversed(messages) if isinstance(message, HumanMessage))
    return next(said, "")


def _answered(messages: Sequence[BaseMessage]) -> bool:
    """Whether a tool has answered since the user last spoke."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return False
        if isinstance(message, ToolMessage):
            return True
    return False


def _chosen(tools: Sequence[Tool], choice: Any) -> list[Tool]:  # noqa: ANN401 - as the user wrote it
    if choice in ("auto", "any", "required", True):
        return list(tools)
    name = choice
    if isinstance(choice, Mapping):
        name = choice.get("function", choice).get("name")
    chosen = [tool for tool in tools if tool.name == name]
    if not chosen:
        names = ", ".join(repr(tool.name) for tool in tools)
        raise ConfigError(
            f"tool_choice {choice!r} is none of the tools ({names}); give a name of theirs, "
            "'any', 'auto' or 'none'"
        )
    return chosen


def _tool(tool: Mapping[str, Any]) -> Tool:
    function = convert_to_openai_tool(dict(tool))["function"]
    return Tool(
        function["name"],
        function.get("description", ""),
        closed(function.get("parameters") or {"type": "object", "properties": {}}),
    )


def _response_schema(wanted: Any) -> dict[str, Any] | None:  # noqa: ANN401 - as the user wrote it
    if wanted is None or (isinstance(wanted, Mapping) and wanted.get("type") == "text"):
        return None
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_object":
        return {"type": "object"}
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema":
        made: dict[str, Any] = closed(wanted["json_schema"]["schema"])
        return made
    raise ConfigError(
        f"response_format {wanted!r} is not known; give "
        "{'type': 'json_schema', 'json_schema': {'name': ..., 'schema': ...}}"
    )


def closed(schema: Any) -> Any:  # noqa: ANN401 - a schema is a mapping or a boolean
    """A schema whose objects have no properties but their own, and only what grammars know.

    Objects that say themselves whether they are open stay as they are. What Pydantic adds to tell
    variants apart is left to the constants in them.
    """
    return everywhere(schema, _closed)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    made = dict(schema)
    if "properties" in made and made.get("type", "object") == "object":
        made.setdefault("additionalProperties", False)
    if "discriminator" in made and "oneOf" in made:
        made["anyOf"] = made.pop("oneOf")
        del made["discriminator"]
    return made
