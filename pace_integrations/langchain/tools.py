"""Everything that LangChain takes for a tool or a schema, as JSON schemas. The one converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_origin

from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import tool as make_tool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from pace_integrations.adapters.argument_schemas import describe_type, is_schema, wrap_schema

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool


def convert_tool(given: ToolLike) -> dict[str, Any]:
    """Return a tool in OpenAI's form, its schema as it was written: references stay references.

    LangChain's own conversion unfolds them, which loses classes that hold themselves.
    """
    if isinstance(given, BaseTool):
        schema: Any = given.tool_call_schema
        return _describe(given.name, given.description, convert_schema(schema))
    if isinstance(given, type) and is_basemodel_subclass(given):
        name, schema = _name_of_class(given), convert_schema(given)
        return _describe(name, schema.get("description") or "", schema)
    if isinstance(given, Mapping):
        return _convert_mapping(given)
    if callable(given) and not isinstance(given, type):
        try:
            made = make_tool(parse_docstring=True, error_on_invalid_docstring=False)(given)
            return convert_tool(made)
        except ValueError:  # no docstring
            pass
    return convert_to_openai_tool(given)


def is_answer_tool(given: ToolLike) -> bool:
    """Return whether nothing runs when a tool is called: its arguments are what is wanted."""
    if isinstance(given, StructuredTool):
        return given.func is None and given.coroutine is None
    return isinstance(given, type)


def convert_schema(given: Any) -> dict[str, Any]:  # noqa: ANN401 - as the user wrote it
    """Return the JSON schema of a class, a TypedDict, a schema or a function's description."""
    if isinstance(given, type) and is_basemodel_subclass(given):
        return describe_type(given)
    if is_annotation(given):
        return describe_type(given)
    if isinstance(given, Mapping):
        if given.get("type") == "function" or "function" in given:
            return convert_schema(_parameters_of(given.get("function", given)))
        if is_schema(given):
            return dict(given)
        if (parameters := _parameters_of(given)) is not given:
            return convert_schema(parameters)
    return convert_to_json_schema(given)


def is_annotation(given: Any) -> bool:  # noqa: ANN401 - as the user wrote it
    """Return whether something is a type of several parts, such as a list or a union."""
    return get_origin(given) is not None


def convert_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a call with its tools as schemas, also what ``bind(tools=...)`` took."""
    if not options.get("tools"):
        return dict(options)
    given = options["tools"]
    tools = [tool if isinstance(tool, Mapping) else convert_tool(tool) for tool in given]
    return {**options, "tools": tools}


def name_schema(given: Any) -> str:  # noqa: ANN401 - as the user wrote it
    """Return the name under which a schema is called as a tool."""
    if isinstance(given, type) and is_basemodel_subclass(given):
        return _name_of_class(given)
    if is_annotation(given):
        return "answer"
    if isinstance(given, Mapping):
        inner = given.get("function", given)
        return str(inner.get("name") or inner.get("title") or "answer")
    return str(convert_to_openai_tool(given)["function"]["name"])


def _convert_mapping(given: Mapping[str, Any]) -> dict[str, Any]:
    inner = given.get("function", given)
    if isinstance(inner, Mapping) and "name" in inner:
        parameters = _parameters_of(inner)
        schema = {} if parameters is inner else convert_schema(parameters)
        return _describe(inner["name"], inner.get("description") or "", schema)
    if is_schema(given):
        described = str(given.get("description") or "")
        return _describe(name_schema(given), described, dict(given))
    return convert_to_openai_tool(dict(given))


def _parameters_of(described: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a schema, or itself
    keys = ("parameters", "input_schema", "inputSchema", "args_schema")
    found = (described[key] for key in keys if described.get(key) is not None)
    return next(found, described)


def _name_of_class(kind: type) -> str:
    config = getattr(kind, "model_config", {})
    return str(config.get("title") or kind.__name__)


def _describe(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    parameters = wrap_schema(schema) if schema else {"type": "object", "properties": {}}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}
