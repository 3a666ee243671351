"""`with_structured_output`: a chat model whose answers are held to a schema, and parsed."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    BaseOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import TypeAdapter

from pace_integrations.adapters.argument_schemas import WRAPPING_KEY, is_wrapped
from pace_integrations.errors import ConfigError
from pace_integrations.langchain.tools import (
    convert_schema,
    convert_tool,
    is_annotation,
    name_schema,
)

Method = Literal["json_schema", "function_calling", "json_mode"]
_METHODS = ("json_schema", "function_calling", "json_mode")


def hold_to_schema(
    model: BaseChatModel,
    schema: Any,  # noqa: ANN401 - any of the kinds below
    method: Method,
    include_raw: bool,
    **options: Any,  # noqa: ANN401
) -> Runnable[LanguageModelInput, Any]:
    """Return a runnable that gives objects of a schema.

    Args:
        model: What answers.
        schema: Pydantic class (version 1 or 2), TypedDict, JSON schema, OpenAI function, or a type
            made of such, as ``list[Person]`` and ``Cat | Dog``.
        method: ``"function_calling"`` asks for a call of a tool; the others for JSON.
        include_raw: Whether the result is a dict of the message and what was parsed from it.
        options: Bound to the model as they are. Where one of ``tools=`` is called first, what is
            parsed is None.

    Raises:
        ConfigError: The method is none of these.
    """
    if method not in _METHODS:
        raise ConfigError(f"method must be one of {_METHODS}, not {method!r}")
    name, plain = name_schema(schema), convert_schema(schema)
    tools = [convert_tool(tool) for tool in options.pop("tools", None) or ()]
    shown = {"kwargs": {"method": method}, "schema": _describe_schema(schema, name, plain)}
    if method == "function_calling":
        bound = model.bind_tools(
            [{**convert_tool(_name_tool(schema, name, plain))}, *tools],
            tool_choice="any" if tools else name,
            ls_structured_output_format=shown,
            **options,
        )
    else:
        bound = model.bind(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": name, "schema": plain},
            },
            ls_structured_output_format=shown,
            **({"tools": tools} if tools else {}),
            **options,
        )
    whole = _make_parser(schema, method, name, plain)
    parser = whole
    if tools:
        parser = RunnableLambda(lambda message: _parse_unless_called(message, whole, name))
    return _keep_raw(bound, parser) if include_raw else bound | parser


def _describe_schema(schema: Any, name: str, plain: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Return a schema as LangChain's tracing shows it, which cannot show every schema."""
    try:
        return {"title": name, **plain} if is_annotation(schema) else convert_to_json_schema(schema)
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"title": name, **plain}


def _name_tool(schema: Any, name: str, plain: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a schema as a tool: one without a title has no name of its own."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return schema
    return {"name": name, "description": plain.get("description", ""), "parameters": plain}


def _make_parser(
    schema: Any,  # noqa: ANN401
    method: Method,
    name: str,
    plain: dict[str, Any],
) -> BaseOutputParser[Any] | Any:  # noqa: ANN401
    pydantic = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method == "function_calling":
        if pydantic:
            return PydanticToolsParser(tools=[schema], first_tool_only=True)
        called = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        made = called | _unwrap if is_wrapped(plain) else called
        return made | TypeAdapter(schema).validate_python if is_annotation(schema) else made
    if is_annotation(schema):
        return StrOutputParser() | TypeAdapter(schema).validate_json
    return PydanticOutputParser(pydantic_object=schema) if pydantic else JsonOutputParser()


def _parse_unless_called(message: AIMessage, parser: Runnable[Any, Any], name: str) -> Any:  # noqa: ANN401
    """Return what a message says, or None where it calls a tool first."""
    called = [call for call in message.tool_calls if call["name"] != name]
    return None if called else parser.invoke(message)


def _unwrap(arguments: Any) -> Any:  # noqa: ANN401 - JSON
    return arguments.get(WRAPPING_KEY) if isinstance(arguments, dict) else arguments


def _keep_raw(
    bound: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([failed], exception_key="parsing_error")
