"""What one JSON schema allows and another does not, written without ``not``.

A grammar knows no "but not": that exactly one of several schemas holds, that a condition fails, or
that something must not be, is said here in words that it knows. Every result allows a part of what
it stands for and nothing else; where no such part can be written, there is no result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]
Resolve = Callable[[Any], Schema | None]

_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_MOST_VALUES = 256  # of a range of integers that is written out
_DEPTH = 6
# Pairs of limits, each with the type that they are about, and whether they are of whole numbers.
_SIZES = (
    ("string", "minLength", "maxLength"),
    ("array", "minItems", "maxItems"),
    ("object", "minProperties", "maxProperties"),
)


def exclude_schema(schema: Any, other: Any, resolve: Resolve, depth: int = 0) -> Schema | None:  # noqa: ANN401
    """Return a schema of values that `schema` allows and `other` does not, or None.

    Args:
        schema: A JSON schema.
        other: Another one.
        resolve: Returns a part of them without reference or ``allOf`` at its top, or None.
        depth: How deep in both it stands.
    """
    if other is False:
        return dict(schema) if isinstance(schema, Mapping) else {}
    own, unwanted = resolve(schema), resolve(other)
    if own is None or not unwanted or depth > _DEPTH:
        return None
    for key in ("anyOf", "oneOf"):
        if isinstance(own.get(key), list):
            rest = {name: value for name, value in own.items() if name != key}
            parts = (exclude_schema(part, unwanted, resolve, depth + 1) for part in own[key])
            kept = [part for part in parts if part is not None]
            return {**rest, key: kept} if kept else None
    if isinstance(unwanted.get("anyOf"), list):
        left: Schema | None = own
        for part in unwanted["anyOf"]:
            left = None if left is None else exclude_schema(left, part, resolve, depth + 1)
        if left is not None:
            return left
    ways: Sequence[Callable[[], Schema | None]] = (
        lambda: _exclude_values(own, unwanted),
        lambda: _exclude_types(own, unwanted),
        lambda: _exclude_properties(own, unwanted, resolve, depth),
        lambda: _exclude_range(own, unwanted),
        lambda: _exclude_sizes(own, unwanted),
        lambda: _exclude_items(own, unwanted, resolve, depth),
    )
    return next((made for way in ways if (made := way()) is not None), None)


def separate_schemas(parts: Sequence[Any], resolve: Resolve) -> list[Schema | None]:
    """Return each of several schemas without what another one allows, or None in its place.

    One that already allows nothing of the others is given back as it is.
    """
    resolved = [resolve(part) for part in parts]
    made: list[Schema | None] = []
    for i, part in enumerate(parts):
        left = resolved[i]
        for other in (*parts[:i], *parts[i + 1 :]):
            left = None if left is None else exclude_schema(left, other, resolve)
        made.append(part if left == resolved[i] and left is not None else left)
    return made


def _kinds(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types that values of a schema can have."""
    stated = schema.get("type")
    if isinstance(stated, str):
        return (stated,)
    if isinstance(stated, list):
        return tuple(stated)
    if (values := _list_values(schema)) is not None:
        return tuple(dict.fromkeys(_type_of(value) for value in values))
    if schema.keys() & {"properties", "required"}:
        return ("object",)  # what people mean who name properties
    return _TYPES


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if float(value).is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _list_values(schema: Mapping[str, Any]) -> list[Any] | None:
    """Return all values of a schema that has only a few."""
    if "const" in schema:
        return [schema["const"]]
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    kind = schema.get("type")
    if kind in ("null", "boolean"):
        return [None] if kind == "null" else [False, True]
    if kind == "integer":
        low, high = _limits(schema)
        if high - low < _MOST_VALUES:
            step = schema.get("multipleOf", 1)
            return [n for n in range(math.ceil(low), math.floor(high) + 1) if n % step == 0]
    return None


def _limits(schema: Mapping[str, Any]) -> tuple[float, float]:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    whole = schema.get("type") == "integer"
    for name, sign in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        limit = schema.get(name)
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            step = sign if whole and float(limit).is_integer() else None
            inner = limit + step if step else math.nextafter(limit, sign * math.inf)
            low, high = (max(low, inner), high) if sign > 0 else (low, min(high, inner))
    return low, high


def _is_excluded(value: object, schema: Mapping[str, Any]) -> bool:
    """Return whether a value is surely not allowed."""
    kinds = _kinds(schema)
    own = _type_of(value)
    if own not in kinds and not (own == "integer" and "number" in kinds):
        return "type" in schema or _list_values(schema) is not None
    values = _list_values(schema)
    if values is not None:
        return not any(_type_of(v) == own and v == value for v in values)
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _limits(schema)
        step = schema.get("multipleOf")
        return not low <= value <= high or (isinstance(step, int) and value % step != 0)
    if isinstance(value, str):
        return not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
    return False


def _exclude_values(own: Schema, other: Schema) -> Schema | None:
    values = _list_values(own)
    if values is not None:
        kept = [value for value in values if _is_excluded(value, other)]
        rest = {k: v for k, v in own.items() if k not in ("const", "enum")}
        return None if not kept else own if kept == values else {**rest, "enum": kept}
    texts = _list_values(other)
    if texts and _kinds(own) == ("string",):
        named = [text for text in texts if isinstance(text, str)]
        if "pattern" not in own and "format" not in own:
            return {**own, "pattern": f"^{_write_complement(named)}$"} if named else own
    return None


def _write_complement(texts: Sequence[str]) -> str:
    """Return a regular expression of all texts but some."""
    firsts = sorted({text[0] for text in texts if text})
    if not firsts:
        return "[\\s\\S]+" if texts else "[\\s\\S]*"
    listed = "".join(f"\\{c}" if c in "\\]^-[" else c for c in firsts)
    parts = [] if "" in texts else [""]
    parts.append(f"[^{listed}][\\s\\S]*")
    for first in firsts:
        rests = [text[1:] for text in texts if text[:1] == first]
        parts.append(re.escape(first) + _write_complement(rests))
    return f"(?:{'|'.join(parts)})"


def _exclude_types(own: Schema, other: Schema) -> Schema | None:
    if "type" not in other and _list_values(other) is None:
        return None
    unwanted = {*_kinds(other)}
    unwanted |= {"integer"} if "number" in unwanted else set()
    # A number that is no integer cannot be asked for.
    unwanted |= {"number"} if "integer" in unwanted else set()
    kinds = _kinds(own)
    kept = [kind for kind in kinds if kind not in unwanted]
    if not kept:
        return None
    return own if len(kept) == len(kinds) else {**own, "type": kept[0] if kept[1:] == [] else kept}


def _exclude_properties(own: Schema, other: Schema, resolve: Resolve, depth: int) -> Schema | None:
    if _kinds(own) != ("object",):
        return None
    own = {**own, "type": "object"}
    named, required = dict(own.get("properties") or {}), list(own.get("required") or ())
    theirs, wanted = other.get("properties") or {}, other.get("required") or ()
    if other.get("additionalProperties") is False and not other.get("patternProperties"):
        surplus = next((name for name in named if name not in theirs), None)
        if surplus is not None:
            return own if surplus in required else {**own, "required": [*required, surplus]}
    closed = own.get("additionalProperties", False) is False
    for name in wanted:
        if name not in named and closed:
            return own
    for name in (*wanted, *(n for n in theirs if n not in wanted)):
        if name in named and name in theirs:
            part = exclude_schema(named[name], theirs[name], resolve, depth + 1)
            if part is not None:
                needed = required if name in {*required, *wanted} else [*required, name]
                changed = {**own, "properties": {**named, name: part}}
                return {**changed, "required": needed} if needed else changed
    for name in wanted:
        if name not in required and closed:
            return {**own, "properties": {k: v for k, v in named.items() if k != name}}
    return None


def _exclude_range(own: Schema, other: Schema) -> Schema | None:
    if not {*_kinds(own)} <= {"integer", "number"}:
        return None
    (low, high), (lowest, highest) = _limits(own), _limits(other)
    if high < lowest or low > highest:
        return own
    if high > highest:
        return {**own, "exclusiveMinimum": _plain(highest)}
    if low < lowest:
        return {**own, "exclusiveMaximum": _plain(lowest)}
    return None


def _plain(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _exclude_sizes(own: Schema, other: Schema) -> Schema | None:
    for kind, least, most in _SIZES:
        if _kinds(own) != (kind,):
            continue
        low, high = own.get(least, 0), own.get(most, math.inf)
        lowest, highest = other.get(least, 0), other.get(most, math.inf)
        if high < lowest or low > highest:
            return own
        if high > highest:
            return {**own, least: highest + 1}
        if low < lowest:
            return {**own, most: lowest - 1}
    return None


def _exclude_items(own: Schema, other: Schema, resolve: Resolve, depth: int) -> Schema | None:
    if _kinds(own) != ("array",) or not isinstance(other.get("items"), Mapping):
        return None
    if own.get("maxItems", 1) < 1 or "prefixItems" in own or "prefixItems" in other:
        return None
    part = exclude_schema(own.get("items", {}), other["items"], resolve, depth + 1)
    return None if part is None else {**own, "items": part, "minItems": own.get("minItems") or 1}
