"""What an answer must look like: tools, choices and schemas of a call as one constraint.

Both integrations describe a call in a `FormatRequest`; `plan_answer` decides.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PydanticUserError

from pace_integrations.adapters.argument_grounding import (
    ground_schema,
    ground_tools,
    match_tools,
)
from pace_integrations.adapters.argument_schemas import describe_type, is_schema
from pace_integrations.adapters.tool_calls import (
    Tool,
    constrain_calls,
    describe_tools,
    frame_messages,
    parse_tool,
)
from pace_integrations.config import Constraint
from pace_integrations.errors import ConfigError, QuestionError

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message

ToolPolicy = Literal["model", "first"]
_ANY = ("any", "required")
_FREE = ("auto", *_ANY, "none")


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """What an answer must look like, and what the model is told of it.

    Attributes:
        constraint: What the answer is held to, or None for free text.
        calls: Whether it may hold tool calls.
        before: A system message for it, or None.
        after: What is added to the last turn, or None.
    """

    constraint: Constraint | None = None
    calls: bool = False
    before: str | None = None
    after: str | None = None

    def frame(self, messages: Sequence[Message]) -> list[Message]:
        """Return a conversation in which the model is told of the format."""
        return frame_messages(messages, self.before, self.after)


@dataclass(frozen=True, slots=True)
class History:
    """What a conversation says of the next answer.

    Attributes:
        last_user_text: What the user said last.
        has_tool_result: Whether a tool has answered since.
        tool_text: What tools have answered since.
    """

    last_user_text: str = ""
    has_tool_result: bool = False
    tool_text: str = ""

    @classmethod
    def scan(cls, turns: Sequence[tuple[str, str]]) -> History:
        """Return what pairs of a role and a text say; results of tools have the role ``tool``."""
        roles = [role for role, _ in turns]
        start = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else 0
        systems = (text for role, text in reversed(turns) if role == "system")
        said = turns[start][1] if "user" in roles else next(systems, "")
        results = [text for role, text in turns[start:] if role == "tool"]
        return cls(said, bool(results), "\n".join(results))


class ToolChoiceError(ConfigError, QuestionError):
    """A tool is asked for that is not there."""


def plan_answer(
    options: Mapping[str, Any], history: History, policy: ToolPolicy, *, plain: bool = False
) -> AnswerFormat:
    """Return the format that the options of a call ask for.

    With the policy ``"first"``, a tool is called before anything else is written, once, with values
    of the user's words; tools whose arguments are the answer come last, and so does JSON of a
    schema, with values of what the tools said.

    Args:
        options: ``tools`` and ``tool_choice`` in the form of OpenAI, Anthropic or MCP,
            ``parallel_tool_calls``, ``response_format``, and ``answer_tools``, names of tools that
            nothing runs.
        history: The conversation so far.
        policy: Who decides whether a tool is called where the choice is free.
        plain: Whether the model was never trained on the marks of tool calls.

    Raises:
        ConfigError: An option names no tool, or is of no known form.
    """
    schema = parse_response_format(options.get("response_format"))
    answers = frozenset(options.get("answer_tools") or ())
    tools = [
        parse_tool(given, is_answer=_name_of(given) in answers)
        for given in options.get("tools") or ()
    ]
    kind, names = parse_tool_choice(options.get("tool_choice"))
    offered = _select_tools(tools, names)
    if not offered or kind == "none":
        return _plan_text(schema, "")
    before = describe_tools(tools, plain=plain)
    parallel = options.get("parallel_tool_calls")
    several = policy == "model" if parallel is None else bool(parallel)
    # A tool that is named is called once, and so is one by a model that does not know what it does.
    several = several and not names and (policy == "model" or kind == "required")
    if policy == "first":
        return _plan_first(offered, kind, schema, history, before, several)
    required = kind == "required" and not (schema and history.has_tool_result)
    told = None if schema is None or required else _describe_schema(schema)
    held = constrain_calls(offered, required=required, parallel=several, answer=schema)
    return AnswerFormat(held, calls=True, before=before, after=told)


def _plan_first(
    offered: Sequence[Tool],
    kind: str,
    schema: Mapping[str, Any] | None,
    history: History,
    before: str,
    several: bool,
) -> AnswerFormat:
    acting = [tool for tool in offered if not tool.is_answer]
    answering = [tool for tool in offered if tool.is_answer]
    if history.has_tool_result:
        if schema is not None or (kind == "auto" and not answering):
            # A model that was never trained to call tools looks for what to do at the end.
            return _plan_text(schema, history.last_user_text, before, history.tool_text)
        chosen = answering or acting
    else:
        chosen = match_tools(acting or answering, history.last_user_text)
    grounded = ground_tools(chosen, history.last_user_text)
    held = constrain_calls(grounded, required=True, parallel=several)
    return AnswerFormat(held, calls=True, before=before)


def _plan_text(
    schema: Mapping[str, Any] | None,
    question: str,
    before: str | None = None,
    source: str = "",
) -> AnswerFormat:
    """Return the format of text, or of JSON whose values are those of a source, if there is one."""
    if schema is None:
        return AnswerFormat(before=before, after=question or None)
    told = "\n\n".join([question] * bool(question) + [_describe_schema(schema)])
    held = ground_schema(schema, source) if source else schema
    return AnswerFormat(Constraint.json_schema(held), before=before, after=told)


def _describe_schema(schema: Mapping[str, Any]) -> str:
    shown = json.dumps(schema, ensure_ascii=False)
    return f"Answer with JSON that is valid under this schema:\n{shown}"


def parse_tool_choice(choice: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - any spelling
    """Return ``"auto"``, ``"required"`` or ``"none"``, and the names of the tools it is about.

    Args:
        choice: A word, a name, a boolean, or the object of OpenAI, Anthropic or MCP.

    Raises:
        ConfigError: It is of no known form.
    """
    if choice is None or choice is False:
        return "auto", ()
    if choice is True:
        return "required", ()
    if isinstance(choice, str):
        word = choice.lower()  # Google's are in capitals
        if word not in _FREE:
            return "required", (choice,)
        return ("required" if word in _ANY else word), ()
    if isinstance(choice, Mapping):
        return _parse_choice_object(choice)
    raise _choice_error(choice)


def _parse_choice_object(choice: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    for key in ("function_calling_config", "functionCallingConfig"):  # Google's
        if isinstance(choice.get(key), Mapping):
            return _parse_google_choice(choice[key])
    if len(choice) == 1 and (word := str(next(iter(choice)))) in _FREE:  # Amazon's {"auto": {}}
        return parse_tool_choice(word)
    kind = choice.get("type") or choice.get("mode")
    allowed = choice.get("allowed_tools", choice if kind == "allowed_tools" else None)
    if isinstance(allowed, Mapping):
        names = tuple(filter(None, map(_name_of, allowed.get("tools") or ())))
        return ("required" if allowed.get("mode") in _ANY else "auto"), names
    name = _name_of(choice)
    if name:
        return "required", (name,)
    if kind in _FREE:
        return parse_tool_choice(kind)
    raise _choice_error(choice)


def _parse_google_choice(config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    mode = str(config.get("mode") or "auto").lower()
    named = config.get("allowed_function_names") or config.get("allowedFunctionNames") or ()
    return parse_tool_choice("auto" if mode == "validated" else mode)[0], tuple(map(str, named))


def _choice_error(choice: object) -> ConfigError:
    return ConfigError(
        f"tool_choice {choice!r} is of no known form; give a tool's name, 'auto', 'any' or 'none'"
    )


def _name_of(given: Any) -> str | None:  # noqa: ANN401 - a tool or a choice in any form
    inner = given.get("function") or given.get("tool") or given
    name = inner.get("name") if isinstance(inner, Mapping) else inner
    return name if isinstance(name, str) else None


def _select_tools(tools: Sequence[Tool], names: Sequence[str]) -> list[Tool]:
    known = {tool.name: tool for tool in tools}
    for name in names:
        if name not in known:
            listed = ", ".join(map(repr, known)) or "there are none"
            raise ToolChoiceError(
                f"there is no tool {name!r}: tool_choice {name!r} is none of the tools ({listed}); "
                "give a name of theirs, 'any', 'auto' or 'none'"
            )
    return [known[name] for name in names] if names else list(tools)


def parse_response_format(wanted: Any) -> dict[str, Any] | None:  # noqa: ANN401 - as it was given
    """Return the schema of a ``response_format``, or None where it asks for text.

    Args:
        wanted: OpenAI's forms, a JSON schema, or a class or type that Pydantic can describe.

    Raises:
        ConfigError: It is of no known form.
    """
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind == "json_schema":
        inner = wanted.get("json_schema", wanted)
        schema = inner.get("schema", inner) if isinstance(inner, Mapping) else None
        if isinstance(schema, Mapping) and (schema is not inner or is_schema(schema)):
            return dict(schema)
    if is_schema(wanted):
        return dict(wanted)
    if not isinstance(wanted, Mapping | str):
        with contextlib.suppress(PydanticUserError, TypeError, AttributeError):
            return describe_type(wanted)
    raise ConfigError(
        f"response_format {wanted!r} is not known; give "
        "{'type': 'json_schema', 'json_schema': {'name': ..., 'schema': ...}}"
    )
