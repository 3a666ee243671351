"""One policy for JSON schemas: what people write, reduced to what a grammar can hold text to.

Answers and tool arguments of every integration go through `reduce_schema`. It knows schemas alone:
no grammar engine apart from its check of regular expressions, no framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, reduce
from typing import Any

from llguidance import LLMatcher

from pace_integrations.model.constrained.schema_exclusion import exclude_schema, separate_schemas
from pace_integrations.model.constrained.schema_merging import (
    ANNOTATIONS,
    DEFINITIONS,
    MAX_BRANCHES,
    ConflictError,
    merge_schemas,
)

Schema = dict[str, Any]

_LARGEST = 10**15
_SINGLE = (
    *("items", "additionalProperties", "unevaluatedProperties", "contains", "propertyNames"),
    *("if", "then", "else", "not"),
)
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def reduce_schema(schema: Any, *, open_objects: bool = False) -> Schema:  # noqa: ANN401
    """Return a schema that a grammar can hold text to, as close to the given one as can be.

    ``allOf``, conditions and alternatives beside properties are merged into plain objects, so that
    an object is closed once and knows all of its properties; an object that says itself what else
    it may hold stays as it is. References that lead nowhere and expressions that the engine does
    not know are left out. Numbers without limits get fifteen digits: a weak model would write
    them without end.

    Args:
        schema: A JSON schema of any draft since 7, or of OpenAPI.
        open_objects: Whether objects may hold properties that they do not name.
    """
    root = schema if isinstance(schema, Mapping) else ({} if schema else {"not": {}})
    reduced: Schema = _Reducer(root, open_objects=open_objects).reduce(root)
    return reduced


def map_subschemas(schema: Any, change: Callable[[Schema], Schema]) -> Any:  # noqa: ANN401
    """Return a schema with `change` made to every schema in it, innermost first."""
    if not isinstance(schema, Mapping):
        return schema
    return change(_map_children(schema, lambda part: map_subschemas(part, change)))


def _map_children(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> Schema:
    """Return a schema with `change` made to the schemas directly within it."""
    made = dict(schema)
    for key in _SINGLE:
        if key in made and not isinstance(made[key], list):
            made[key] = change(made[key])
    for key in (*_LISTS, "items"):  # draft 7 has lists of items
        if isinstance(made.get(key), list):
            made[key] = [change(part) for part in made[key]]
    for key in _MAPS:
        if isinstance(made.get(key), Mapping):
            made[key] = {name: change(part) for name, part in made[key].items()}
    return made


class _Reducer:
    """Reduces one schema; references are looked up in it as it was given."""

    def __init__(self, root: Mapping[str, Any], *, open_objects: bool) -> None:
        self._root = root
        self._ids = set(_find_ids(root))
        self._open = open_objects
        # References that were merged into what surrounds the current place, and into it: a class
        # that holds itself must not be unfolded forever.
        self._around: frozenset[str] = frozenset()
        self._here: set[str] = set()

    def reduce(self, schema: Any, *, closing: bool = True) -> Any:  # noqa: ANN401
        """Return a schema reduced; `closing` is False for an object that stays in parts."""
        if not isinstance(schema, Mapping):
            return schema
        around, self._here = self._around, set()
        flat = self._flatten(dict(schema), ())
        self._around = around | self._here
        # What could not be merged holds for one object together: none of its parts may close it.
        parts = flat.pop("allOf", [])
        made = _map_children(flat, self.reduce)
        if parts:
            made["allOf"] = [self.reduce(part, closing=False) for part in parts]
        self._around = around
        return self._finish(made, closing=closing and not parts)

    def _flatten(self, schema: Schema, seen: tuple[str, ...]) -> Schema:
        """Merge into one level what a schema says of one value in several places."""
        schema = self._drop_dead_reference(schema)
        parts: list[Any] = []
        if "$ref" in schema and schema.keys() & {"properties", "required", "allOf"}:
            parts.append({"$ref": schema.pop("$ref")})
        parts += schema.pop("allOf", ())
        if len(parts) == 1 and isinstance(parts[0], Mapping) and schema.keys() <= ANNOTATIONS:
            schema, parts = {**schema, **parts[0]}, []
        if parts:
            merged = self._merge_parts(schema, parts, seen)
            if merged is None:
                return {**schema, "allOf": parts}
            schema = merged
        schema = self._branch_on_condition(schema, seen)
        schema = self._distribute(schema, seen)
        return self._exclude_rest(self._separate(schema, seen), seen)

    def _merge_parts(
        self, schema: Schema, parts: Iterable[Any], seen: tuple[str, ...]
    ) -> Schema | None:
        resolved = [self._resolve(part, seen) for part in parts]
        if any(part is None for part in resolved):
            return None
        try:
            return reduce(merge_schemas, [part for part in resolved if part is not None], schema)
        except ConflictError:
            return None

    def _resolve(self, part: Any, seen: tuple[str, ...]) -> Schema | None:  # noqa: ANN401
        """Return a part of a schema without reference at its top; None within a circle."""
        if not isinstance(part, Mapping):
            return {} if part else {"not": {}}
        part = self._drop_dead_reference(dict(part))
        name = part.get("$ref")
        if name is None:
            return self._flatten(part, seen)
        if name in seen or name in self._around or not str(name).startswith("#"):
            return None
        self._here.add(name)
        target = self._find(str(name))
        rest = {key: value for key, value in part.items() if key != "$ref"}
        inner = self._flatten(dict(target), (*seen, name))
        if "$ref" in inner:
            resolved = self._resolve(inner, (*seen, name))
            if resolved is None:
                return None
            inner = resolved
        return merge_schemas(inner, self._flatten(rest, seen)) if rest else inner

    def _branch_on_condition(self, schema: Schema, seen: tuple[str, ...]) -> Schema:
        """Turn ``if/then/else`` into two branches; the second may not break the ``if``."""
        keys = ("if", "then", "else")
        condition, then, otherwise = (schema.get(key) for key in keys)
        if condition is None:
            return {key: value for key, value in schema.items() if key not in keys}
        base = {key: value for key, value in schema.items() if key not in keys}
        own = {key: value for key, value in base.items() if key not in DEFINITIONS}
        branches = [
            self._merge_parts(own, [condition, {} if then is None else then], seen),
            self._merge_parts(own, [{} if otherwise is None else otherwise], seen),
        ]
        if branches[1] is not None:
            branches[1] = self._exclude(branches[1], condition, seen) or branches[1]
        made = [branch for branch in branches if branch is not None]
        return {**_definitions_of(base), "anyOf": made} if len(made) == 2 else base

    def _distribute(self, schema: Schema, seen: tuple[str, ...]) -> Schema:
        """Merge an object's own properties into each of its alternatives."""
        key = next((key for key in ("anyOf", "oneOf") if isinstance(schema.get(key), list)), None)
        own = schema.keys() - {key, *DEFINITIONS} - ANNOTATIONS
        if key is None or not own & {"properties", "required", "anyOf", "oneOf"}:
            return schema
        base = {name: value for name, value in schema.items() if name != key}
        shared = {name: value for name, value in base.items() if name not in DEFINITIONS}
        branches = [self._merge_parts(shared, [part], seen) for part in schema[key]]
        made = [branch for branch in branches if branch is not None]
        if not made or len(made) > MAX_BRANCHES:
            return base  # what the branches demand is given up rather than the schema refused
        return {**_definitions_of(schema), key: made}

    def _separate(self, schema: Schema, seen: tuple[str, ...]) -> Schema:
        """Turn alternatives of which one must hold into such that no two can."""
        parts = schema.get("oneOf")
        if self._open or not isinstance(parts, list) or "anyOf" in schema:
            return schema
        parts = [part for part in parts if part is not False]
        if len(parts) > MAX_BRANCHES:
            return schema
        around = set(self._here)
        made = separate_schemas(parts, lambda part: self._resolve(part, seen))
        kept = [part for part in made if part is not None]
        told_apart = "discriminator" in schema  # by their owner, whatever else they allow
        if not kept or (told_apart and len(kept) < len(parts)):
            self._here = around
            return schema
        if all(any(part is given for given in parts) for part in kept):
            self._here = around  # nothing that was looked up came in here
        rest = {key: value for key, value in schema.items() if key != "oneOf"}
        return {**rest, "anyOf": kept}

    def _exclude_rest(self, schema: Schema, seen: tuple[str, ...]) -> Schema:
        """Write ``not`` in other words, where there are any."""
        if self._open or "not" not in schema:
            return schema
        rest = {key: value for key, value in schema.items() if key != "not"}
        return self._exclude(rest, schema["not"], seen) or schema

    def _exclude(self, schema: Schema, other: Any, seen: tuple[str, ...]) -> Schema | None:  # noqa: ANN401
        around = set(self._here)
        made = exclude_schema(schema, other, lambda part: self._resolve(part, seen))
        if made is None:
            self._here = around
        return made

    def _drop_dead_reference(self, schema: Schema) -> Schema:
        name = schema.get("$ref")
        if isinstance(name, str) and name not in self._ids and self._find(name) is None:
            return {key: value for key, value in schema.items() if key != "$ref"}
        return schema

    def _find(self, name: str) -> Any:  # noqa: ANN401 - any part of a schema, or None
        if not name.startswith("#"):
            return None
        part: Any = self._root
        for step in filter(None, name[1:].split("/")):
            step = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
            if isinstance(part, Mapping):
                part = part.get(step)
            elif isinstance(part, list) and step.isdecimal() and int(step) < len(part):
                part = part[int(step)]
            else:
                return None
        if part is True or part is False:
            return {} if part else {"not": {}}
        return part if isinstance(part, Mapping) else None

    def _finish(self, schema: Schema, *, closing: bool) -> Schema:
        made = _bound_numbers(_allow_null(schema))
        if "pattern" in made and not _is_known_pattern(str(made["pattern"])):
            del made["pattern"]
        if "discriminator" in made and "oneOf" in made and "anyOf" not in made:
            made["anyOf"] = made.pop("oneOf")  # the constants in it tell the variants apart
        if isinstance(made.get("properties"), Mapping):
            for name in made.get("required", ()):
                made["properties"].setdefault(name, {})
            if closing and not self._open:
                made.setdefault("additionalProperties", made.pop("unevaluatedProperties", False))
        return made


def _definitions_of(schema: Mapping[str, Any]) -> Schema:
    return {key: schema[key] for key in DEFINITIONS if key in schema}


def _find_ids(schema: Any) -> Iterable[str]:  # noqa: ANN401 - any part of a schema
    """Yield the names other than paths by which parts of a schema can be referred to."""
    if isinstance(schema, list):
        for part in schema:
            yield from _find_ids(part)
    elif isinstance(schema, Mapping):
        if isinstance(schema.get("$anchor"), str):
            yield f"#{schema['$anchor']}"
        if isinstance(schema.get("$id"), str):
            yield schema["$id"]
        for part in schema.values():
            yield from _find_ids(part)


def _allow_null(schema: Schema) -> Schema:
    """Read OpenAPI's ``nullable``."""
    if schema.get("nullable") is not True:
        return schema
    made = {key: value for key, value in schema.items() if key != "nullable"}
    if set(made) <= {"type", *ANNOTATIONS} and isinstance(made.get("type"), str):
        return {**made, "type": [made["type"], "null"]}
    return {"anyOf": [made, {"type": "null"}]}


def _bound_numbers(schema: Schema) -> Schema:
    kinds = schema.get("type")
    numeric = {"number", "integer"} & set([kinds] if isinstance(kinds, str) else kinds or ())
    if numeric and not schema.keys() & {*_LIMITS, "enum", "const"}:
        return {**schema, "minimum": -_LARGEST, "maximum": _LARGEST}
    return schema


@lru_cache(maxsize=256)
def _is_known_pattern(pattern: str) -> bool:
    """Return whether the engine knows a regular expression: it has no look-around."""
    grammar = LLMatcher.grammar_from_json_schema(
        {"type": "string", "pattern": pattern}, overrides={"whitespace_flexible": False}
    )
    return not LLMatcher.validate_grammar(grammar)
