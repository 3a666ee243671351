"""Conversations and settings in OpenAI's form, as a session understands them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pace_integrations.adapters.answer_format import History, ToolPolicy, plan_answer
from pace_integrations.adapters.attachments import read_attachment
from pace_integrations.adapters.call_settings import CallSettings, merge_generation
from pace_integrations.adapters.messages import Role, parse_role, settle_messages
from pace_integrations.adapters.tool_calls import write_call, write_result
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import QuestionError
from pace_integrations.server.backend import Call
from pace_integrations.server.bodies import Body
from pace_integrations.server.errors import ApiError, option_error

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message

MAX_TOKENS = 512  # of an answer where the client sets no limit
Turn = tuple[Role, str]
_TEXT = frozenset({"text", "input_text", "output_text", "refusal", "summary_text"})
_SKIPPED = frozenset({"reasoning", "thinking", "redacted_thinking", "tool_use"})
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_MAX_STOPS = 16
# What would change an answer and is not done, with the values that ask for nothing.
_UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "logit_bias": ({},),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "audio": (),
    "modalities": (["text"],),
    "prediction": (),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "conversation": (),
}


def parse_turns(messages: Sequence[Any], *, plain: bool) -> list[Turn]:
    """Return the turns of a conversation, calls of tools and their results as text.

    Args:
        messages: Messages of Chat Completions, or items of Responses.
        plain: Whether the model was never trained on the marks of tool calls.

    Raises:
        ApiError: A message is malformed.
    """
    names: dict[str, str] = {}
    turns: list[Turn] = []
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise _message_error(i, "it must be an object")
        try:
            turns += _parse_message(message, names, plain=plain)
        except QuestionError as error:
            raise _message_error(i, str(error)) from error
    return turns


def _message_error(index: int, problem: str) -> ApiError:
    text = f"message {index}: {problem}"
    return ApiError(400, text, param=f"messages[{index}]", code="invalid_value")


def _parse_message(message: Mapping[str, Any], names: dict[str, str], *, plain: bool) -> list[Turn]:
    kind = message.get("type")
    if kind == "function_call":
        return [("assistant", _write_call(message, message.get("call_id"), names, plain))]
    if kind == "function_call_output":
        name = names.get(str(message.get("call_id")))
        return [("tool", write_result(read_text(message.get("output")), name=name, plain=plain))]
    if kind in ("reasoning", "file_search_call", "item_reference"):
        return []
    role = message.get("role")
    if not isinstance(role, str):
        raise QuestionError("it has no role")
    text, parsed = read_text(message.get("content")), parse_role(role)
    if parsed == "tool":
        name = names.get(str(message.get("tool_call_id"))) or message.get("name")
        return [("tool", write_result(text, name=name, plain=plain))]
    written = [
        _write_call(function, call_id, names, plain) for function, call_id in _read_calls(message)
    ]
    return [(parsed, "\n".join([text] * bool(text) + written))]


def _read_calls(message: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], object]]:
    """Yield the function and the id of each call that a message holds."""
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise QuestionError("its tool_calls must be a list")
    for call in calls or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise QuestionError("each of its tool_calls must be an object with a function")
        yield function, call.get("id")


def _write_call(
    function: Mapping[str, Any], call_id: object, names: dict[str, str], plain: bool
) -> str:
    name, arguments = str(function.get("name")), function.get("arguments") or "{}"
    names[str(call_id)] = name
    try:
        made = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        made = arguments
    return write_call(name, made, plain=plain)


def read_text(content: Any) -> str:  # noqa: ANN401 - a text, parts or nothing
    """Return the text of a message's content, attached files included.

    Raises:
        QuestionError: A part is no text and no file.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(_read_part(part) for part in content)
    raise QuestionError("its content must be a text or a list of parts")


def _read_part(part: Any) -> str:  # noqa: ANN401 - as the client wrote it
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in _TEXT:
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            return text
    if kind in ("file", "input_file", "document"):
        return _read_file(part)
    if kind == "tool_result":
        return read_text(part.get("content"))
    if kind in _SKIPPED:
        return ""
    raise QuestionError(f"content of type {kind!r} is not supported; send text and PDF files")


def _read_file(part: Mapping[str, Any]) -> str:
    inner: Mapping[str, Any] = part.get("file") or part.get("source") or part
    data, name = inner.get("file_data") or inner.get("data"), inner.get("filename")
    if not isinstance(data, str):
        raise QuestionError("a file must carry file_data; put others into a vector store")
    head, _, encoded = data.rpartition(",")
    media_type = head.removeprefix("data:").partition(";")[0] or inner.get("media_type")
    if media_type == "text/plain" and inner.get("type") == "text":
        return data
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise QuestionError(f"file_data is not valid base64: {error}") from error
    return read_attachment(content, media_type, name if isinstance(name, str) else None)


def plan_call(
    turns: Sequence[Turn],
    body: Body,
    policy: ToolPolicy,
    timeout: float | None,
    response_format: object = None,
) -> Call:
    """Return what is asked of a session by a conversation and the options of a request.

    Args:
        turns: The conversation.
        body: The request, for tools and settings.
        policy: Who decides whether a tool is called where the choice is free.
        timeout: Seconds the answer may take, or None.
        response_format: What the answer must look like, in the form of Chat Completions.

    Raises:
        ApiError: A setting is of another kind than it must be.
        ConfigError: A setting is outside its range, or names no tool.
    """
    if not turns:
        raise ApiError(400, "there is no message; send at least one", param="messages")
    options = {
        "tools": _read_tools(body),
        "tool_choice": body.get("tool_choice"),
        "parallel_tool_calls": body.read("parallel_tool_calls", bool),
        "response_format": response_format,
    }
    history = History.scan(turns)
    form = plan_answer(options, history, policy, plain=policy == "first")
    messages = settle_messages([_to_message(*turn) for turn in turns])
    settings = read_settings(body, timeout)
    if form.constraint is not None:
        generation = merge_generation(settings.generation, {"constraint": form.constraint})
        settings = CallSettings(generation, settings.timeout)
    return Call(form.frame(messages), settings, form, history.last_user_text)


def _to_message(role: Role, text: str) -> Message:
    # The templates that know tools show results as the user's turn.
    return {"role": "user" if role == "tool" else role, "content": text}


def _read_tools(body: Body) -> list[Mapping[str, Any]]:
    """Return the tools that the model may call; those that the server runs itself are left out."""
    tools = body.read("tools", list) or []
    for i, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise ApiError(400, f"tools[{i}] must be an object", param=f"tools[{i}]")
        if tool.get("type", "function") not in ("function", "custom", "file_search"):
            raise option_error(f"tools[{i}].type", "send functions and file_search")
    return [tool for tool in tools if tool.get("type") != "file_search"]


def read_settings(body: Body, timeout: float | None) -> CallSettings:
    """Return how an answer is written.

    Raises:
        ApiError: A setting is of another kind than it must be, or not supported.
        ConfigError: A setting is outside its range.
    """
    refuse_unsupported(body)
    stop = body.get("stop", body.get("stop_sequences"))
    if isinstance(stop, list) and not (len(stop) <= _MAX_STOPS and all(map(_is_text, stop))):
        raise ApiError(400, f"stop must be at most {_MAX_STOPS} strings", param="stop")
    if stop is not None and not isinstance(stop, (str, list)):
        raise ApiError(400, "stop must be a string or a list of strings", param="stop")
    temperature = body.read("temperature", float)
    if temperature is not None and not 0 <= temperature <= 2:
        raise ApiError(
            400, f"temperature must lie in [0, 2], got {temperature}", param="temperature"
        )
    limit = body.read_first(_LIMITS, int)
    if limit is not None and limit < 1:
        named = next(name for name in _LIMITS if body.get(name) is not None)
        raise ApiError(400, f"{named} must be at least 1, got {limit}", param=named)
    top_k = body.read("top_k", int)
    overrides = {
        "max_tokens": MAX_TOKENS if limit is None else limit,
        "temperature": temperature,
        "top_p": body.read("top_p", float),
        "top_k": 0 if top_k == -1 else top_k,  # both mean no limit, the one elsewhere
        "seed": body.read("seed", int),
        "stop": stop or None,
    }
    return CallSettings(merge_generation(GenerationConfig(), overrides), timeout)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def refuse_unsupported(body: Body) -> None:
    """Refuse what would silently be left out otherwise.

    Raises:
        ApiError: The request asks for it.
    """
    if body.read("n", int, 1) != 1:
        raise option_error("n", "one answer is written for each request; send n=1")
    # Zero asks for the likelihood of the token that was chosen, in Completions.
    if body.get("logprobs") is not None and body["logprobs"] is not False:
        raise option_error("logprobs", "leave it out")
    if body.get("top_logprobs"):
        raise option_error("top_logprobs", "leave it out")
    for wanted in body.read("include", list) or ():
        if isinstance(wanted, str) and wanted.endswith(".logprobs"):
            raise option_error("include", f"leave {wanted} out")
    for name, harmless in _UNSUPPORTED.items():
        given = body.get(name)
        if given is not None and not any(given is one or given == one for one in harmless):
            raise option_error(name, "leave it out")
    for name in ("frequency_penalty", "presence_penalty"):
        if body.read(name, float, 0.0) != 0:
            raise option_error(name, "leave it out or send 0")
