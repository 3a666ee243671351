"""Schemas of arguments: always an object, whatever the schema that is called as a tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

# Where Pydantic's own `RootModel` takes its value from.
WRAPPING_KEY = "root"
# What a mapping has that is a JSON schema.
_SCHEMA_KEYS = frozenset({"anyOf", "oneOf", "allOf", "$ref", "enum", "const", "properties"})
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_OBJECT_KEYS = frozenset({"properties", "additionalProperties", "patternProperties"})


def is_schema(given: Any) -> bool:  # noqa: ANN401 - as the user wrote it
    """Return whether a mapping is a JSON schema, and no description that holds one."""
    if not isinstance(given, Mapping):
        return False
    kinds = given.get("type")
    named = {kinds} if isinstance(kinds, str) else {*kinds} if isinstance(kinds, list) else set()
    return bool(_SCHEMA_KEYS & given.keys()) or bool(named & _TYPES)


def describe_type(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class or an annotation
    """Return the JSON schema of a class of Pydantic's, or of any other type that Pydantic knows."""
    if isinstance(kind, type):
        for name in ("model_json_schema", "schema"):  # of version 2, of version 1
            if callable(describe := getattr(kind, name, None)):
                return dict(describe())
    return TypeAdapter(kind).json_schema()


def wrap_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of arguments, which are always an object; see `is_wrapped`."""
    if _is_object(schema, schema, 0):
        return dict(schema)
    definitions = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in definitions}
    return {
        "type": "object",
        "properties": {WRAPPING_KEY: inner},
        "required": [WRAPPING_KEY],
        **definitions,
    }


def is_wrapped(schema: Mapping[str, Any]) -> bool:
    """Return whether values of a schema, a list or a union, come under `WRAPPING_KEY`."""
    return not _is_object(schema, schema, 0)


def _is_object(schema: Any, root: Mapping[str, Any], depth: int) -> bool:  # noqa: ANN401
    if not isinstance(schema, Mapping) or depth > 8:
        return False
    if schema.get("type") == "object" or _OBJECT_KEYS & schema.keys():
        return True
    name = schema.get("$ref")
    if isinstance(name, str) and name.startswith("#/"):
        target: Any = root
        for step in name[2:].split("/"):
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        return _is_object(target, root, depth + 1)
    parts = schema.get("allOf") or schema.get("anyOf") or schema.get("oneOf") or ()
    return bool(parts) and all(_is_object(part, root, depth + 1) for part in parts)
