"""Two JSON schemas for one value, written as one: the values that both allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFINITIONS = ("$defs", "definitions")
MAX_BRANCHES = 64
_HIGHEST_WINS = frozenset(
    {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"}
)
_LOWEST_WINS = frozenset(
    {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"}
)
# Words for readers: they constrain nothing, so two of them never conflict.
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly"}
    | {"writeOnly", "discriminator", "$schema", "$id", "$anchor", "contentMediaType"}
    | {"contentEncoding", "contentSchema", "example", "externalDocs", "xml"}
)


class ConflictError(Exception):
    """Two schemas that cannot be written as one."""


def merge_schemas(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return one schema for what both of two schemas allow.

    Raises:
        ConflictError: No single schema says so.
    """
    made = dict(a)
    for key, value in b.items():
        made[key] = _merge_keyword(key, made[key], value) if key in made else value
    return made


def _merge_keyword(key: str, a: Any, b: Any) -> Any:  # noqa: ANN401 - any part of a schema
    if a == b or key in ANNOTATIONS:
        return a
    if key in DEFINITIONS:
        return {**b, **a}
    if key in ("properties", "patternProperties"):
        both = {name: {"allOf": [a[name], b[name]]} for name in a.keys() & b.keys()}
        return {**a, **b, **both}
    if key == "required":
        return list(dict.fromkeys([*a, *b]))
    if key in ("items", "additionalProperties"):
        return False if a is False or b is False else {"allOf": [a, b]}
    if key in _HIGHEST_WINS:
        return max(a, b)
    if key in _LOWEST_WINS:
        return min(a, b)
    if key == "enum" and (shared := [value for value in a if value in b]):
        return shared
    if key == "type" and (kinds := _shared_types(a, b)):
        return kinds
    if key in ("anyOf", "oneOf") and len(a) * len(b) <= MAX_BRANCHES:
        return [{"allOf": [x, y]} for x in a for y in b]
    raise ConflictError(key)


def _shared_types(a: str | list[str], b: str | list[str]) -> str | list[str] | None:
    first, second = ([kinds] if isinstance(kinds, str) else list(kinds) for kinds in (a, b))
    shared = [kind for kind in first if kind in second]
    if "integer" in {*first, *second} and "number" in {*first, *second}:
        shared = list(dict.fromkeys([*shared, "integer"]))
    return shared[0] if len(shared) == 1 else shared or None
