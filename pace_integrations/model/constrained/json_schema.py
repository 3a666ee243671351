"""Constraints as grammars of llguidance, and what to say when it refuses one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from llguidance import LLMatcher

from pace_integrations.config import Constraint

_LARGEST = 10**15
_ONE = ("items", "additionalProperties", "contains", "if", "then", "else", "not")
_LIST = ("prefixItems", "anyOf", "oneOf", "allOf")
_MAP = ("properties", "patternProperties", "$defs", "definitions")
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def grammar_of(constraint: Constraint) -> str:
    """A constraint in the engine's own form; what is wrong with it shows when that is used."""
    if constraint.kind == "lark":
        return LLMatcher.grammar_from_lark(constraint.source)
    if constraint.kind == "regex":
        return LLMatcher.grammar_from_regex(constraint.source)
    schema = bounded(json.loads(constraint.source))
    return LLMatcher.grammar_from_json_schema(
        json.dumps(schema), overrides={"whitespace_flexible": False}
    )


def refusal(constraint: Constraint, error: str) -> str:
    """What to say of a constraint that the engine refuses."""
    names = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "Lark grammar"}
    reason = error.strip().splitlines()[0].rstrip(".") if error.strip() else "no reason given"
    return (
        f"the {names[constraint.kind]} cannot constrain an answer: {reason}; "
        "change or leave out that part"
    )


def bounded(schema: Any) -> Any:  # noqa: ANN401 - a schema is a mapping or a boolean
    """A JSON schema whose numbers are limited to fifteen digits where it sets no limits itself."""
    return everywhere(schema, _limited)


def everywhere(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:  # noqa: ANN401
    """A JSON schema with `change` made to every schema in it, innermost first."""
    if not isinstance(schema, Mapping):
        return schema
    made = dict(schema)
    for key in _ONE:
        if key in made:
            made[key] = everywhere(made[key], change)
    for key in _LIST:
        if isinstance(made.get(key), list):
            made[key] = [everywhere(part, change) for part in made[key]]
    for key in _MAP:
        if isinstance(made.get(key), Mapping):
            made[key] = {name: everywhere(part, change) for name, part in made[key].items()}
    return change(made)


def _limited(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type")
    numeric = {"number", "integer"} & set([kinds] if isinstance(kinds, str) else kinds or ())
    if numeric and not schema.keys() & {*_LIMITS, "enum", "const"}:
        return {**schema, "minimum": -_LARGEST, "maximum": _LARGEST}
    return schema
