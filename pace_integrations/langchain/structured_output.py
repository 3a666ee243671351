"""`with_structured_output`: a chat model whose answers are held to a schema, and parsed."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.output_parsers import (
    BaseOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from pace_integrations.errors import ConfigError

Method = Literal["json_schema", "function_calling", "json_mode"]


def structured(
    model: BaseChatModel,
    schema: Any,  # noqa: ANN401 - any of the kinds below
    method: Method,
    include_raw: bool,
    **options: Any,  # noqa: ANN401
) -> Runnable[LanguageModelInput, Any]:
    """A runnable that gives objects of a schema.

    Args:
        model: What answers.
        schema: Pydantic class (version 1 or 2), TypedDict, JSON schema or OpenAI function.
        method: ``"function_calling"`` asks for a call of a tool; the others for JSON.
        include_raw: Whether the result is a dict of the message and what was parsed from it.
        options: Bound to the model as they are.

    Raises:
        ConfigError: The method is none of these.
    """
    if method not in ("json_schema", "function_calling", "json_mode"):
        raise ConfigError(
            f"method must be 'json_schema', 'function_calling' or 'json_mode', not {method!r}"
        )
    shown = {"kwargs": {"method": method}, "schema": convert_to_json_schema(schema)}
    if method == "function_calling":
        name = convert_to_openai_tool(schema)["function"]["name"]
        bound = model.bind_tools(
            [schema], tool_choice=name, ls_structured_output_format=shown, **options
        )
    else:
        wanted = {"name": shown["schema"].get("title", "answer"), "schema": _schema_of(schema)}
        bound = model.bind(
            response_format={"type": "json_schema", "json_schema": wanted},
            ls_structured_output_format=shown,
            **options,
        )
    parser = _parser(schema, method)
    return _with_raw(bound, parser) if include_raw else bound | parser


def _schema_of(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - as the user wrote it
    """The JSON schema itself, with its definitions where it has any."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        describe: Any = schema  # of version 2 of Pydantic, or version 1
        known = hasattr(describe, "model_json_schema")
        made: dict[str, Any] = describe.model_json_schema() if known else describe.schema()
        return made
    plain = isinstance(schema, Mapping) and {"type", "anyOf", "$ref"} & schema.keys()
    if plain and schema.get("type") != "function" and "parameters" not in schema:
        return dict(schema)
    return convert_to_json_schema(schema)


def _parser(schema: Any, method: Method) -> BaseOutputParser[Any] | Any:  # noqa: ANN401
    pydantic = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method == "function_calling":
        if pydantic:
            return PydanticToolsParser(tools=[schema], first_tool_only=True)
        name = convert_to_openai_tool(schema)["function"]["name"]
        return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return PydanticOutputParser(pydantic_object=schema) if pydantic else JsonOutputParser()


def _with_raw(
    bound: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([failed], exception_key="parsing_error")
