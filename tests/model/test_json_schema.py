"""One policy for JSON schemas: reduced ones allow what was meant, and none is refused whole."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from constrained import roam
from pydantic import BaseModel, Field, SecretStr

from pace_integrations import Constraint, GenerationConfig, Pace
from pace_integrations.model.constrained.grammar import compile_grammar
from pace_integrations.model.constrained.json_schema import map_subschemas, reduce_schema

DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}


def an_object(*names: str, **more: Any) -> dict[str, Any]:
    properties = dict.fromkeys(names, DIGIT)
    return {"type": "object", "properties": properties, "required": [*names], **more}


BASE = {"$defs": {"Base": an_object("id")}}
TREE = {
    "$defs": {
        "Node": {
            "allOf": [
                {"$ref": "#/$defs/Tag"},
                an_object(
                    "v", properties={"v": DIGIT, "left": {"allOf": [{"$ref": "#/$defs/Node"}]}}
                ),
            ]
        },
        "Tag": an_object("tag"),
    },
    "$ref": "#/$defs/Node",
}
MERGED: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "two parts": ({"allOf": [an_object("x"), an_object("y")]}, {"x": 1, "y": 2}, {"x": 1}),
    "a base class": (
        {**BASE, "allOf": [{"$ref": "#/$defs/Base"}, an_object("a")]},
        {"id": 1, "a": 2},
        {"a": 2},
    ),
    "a base class beside properties": (
        {**BASE, "$ref": "#/$defs/Base", **an_object("a")},
        {"id": 1, "a": 2},
        {"id": 1},
    ),
    "parts of one property": (
        {"allOf": [an_object("x"), {"properties": {"x": {"minimum": 5}}}]},
        {"x": 5},
        {"x": 4},
    ),
    "alternatives beside properties": (
        {**an_object("a"), "anyOf": [an_object("b"), an_object("c")]},
        {"a": 1, "c": 2},
        {"a": 1},
    ),
    "one of two is required": (
        {
            "type": "object",
            "properties": {"a": DIGIT, "b": DIGIT},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {"b": 3},
        {},
    ),
    "a condition": (
        {
            **an_object("a"),
            "if": {"properties": {"a": {"const": 1}}},
            "then": an_object("one"),
            "else": an_object("other"),
        },
        {"a": 1, "one": 2},
        {"a": 1},
    ),
    "a class that holds itself": (TREE, {"tag": 1, "v": 2, "left": {"tag": 3, "v": 4}}, {"v": 1}),
    "OpenAPI's null": (
        an_object("a", properties={"a": {**DIGIT, "nullable": True}}),
        {"a": None},
        {"a": 12},
    ),
}


@pytest.mark.parametrize("case", MERGED)
def test_objects_in_parts_are_closed_once(case: str) -> None:
    schema, good, bad = MERGED[case]
    reduced = reduce_schema(schema)
    jsonschema.validate(good, reduced)
    for wrong in (bad, {**good, "invented": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, reduced)


@pytest.mark.parametrize("case", MERGED)
def test_what_is_written_is_valid_under_the_schema_as_given(embedded: Pace, case: str) -> None:
    schema = MERGED[case][0]
    made = write(embedded, schema)
    if case != "OpenAPI's null":  # which is no JSON Schema
        jsonschema.validate(made, schema)


def write(pace: Pace, schema: dict[str, Any]) -> Any:
    constraint = Constraint.json_schema(schema)
    config = GenerationConfig(max_new_tokens=120, constraint=constraint)
    return json.loads(pace.blank().ask("What is it?", generation=config).text)


SHORT = {"type": "string", "maxLength": 6}
TWO = {"type": "object", "properties": {"a": DIGIT, "b": DIGIT}}
# What a validator refuses where two of the alternatives hold, a condition holds after all, or what
# must not be is; and all that a grammar says of it.
EXCLUSIVE: dict[str, dict[str, Any]] = {
    "one is required": {**TWO, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    "objects without a word in common": {"oneOf": [an_object("a"), an_object("b")]},
    "an object within another": {"oneOf": [an_object("a"), an_object("a", "b")]},
    "closed objects": {
        "oneOf": [
            an_object("a", additionalProperties=False),
            an_object("a", "b", additionalProperties=False),
        ]
    },
    "values": {"oneOf": [{"enum": ["x", "y"]}, {"enum": ["y", "z"]}]},
    "texts but some": {"oneOf": [{**SHORT, "minLength": 1}, {"enum": ["x", "xy", "yz"]}]},
    "lengths": {"oneOf": [SHORT, {"type": "string", "minLength": 3, "maxLength": 9}]},
    "ranges": {
        "oneOf": [
            {"type": "number", "minimum": 0, "exclusiveMaximum": 5},
            {"type": "number", "minimum": 3, "maximum": 9},
        ]
    },
    "multiples": {
        "oneOf": [{"type": "integer", "maximum": 40, "minimum": 0, "multipleOf": n} for n in (3, 5)]
    },
    "types": {"oneOf": [{"type": ["string", "null"], "maxLength": 4}, SHORT]},
    "lists": {"oneOf": [{"type": "array", "items": one, "maxItems": 3} for one in (DIGIT, SHORT)]},
    "never": {"oneOf": [an_object("a"), False]},
    "a class that holds itself or another": {
        "$defs": {
            "Node": an_object(
                "v",
                properties={
                    "v": DIGIT,
                    "kid": {"oneOf": [{"$ref": "#/$defs/Node"}, {"$ref": "#/$defs/Leaf"}]},
                },
            ),
            "Leaf": {**an_object("leaf"), "properties": {"leaf": DIGIT, "v": DIGIT}},
        },
        "$ref": "#/$defs/Node",
    },
    "a condition on a word": {
        **an_object("c", properties={"c": SHORT}),
        "if": {"properties": {"c": {"const": "US"}}},
        "then": an_object("zip"),
        "else": an_object("post"),
    },
    "a property that must not be": {**TWO, "required": ["a"], "not": {"required": ["b"]}},
    "words that must not be": an_object(
        "a", properties={"a": {**SHORT, "not": {"enum": ["no", "n", ""]}}}
    ),
    "types that must not be": an_object(
        "a", properties={"a": {"not": {"type": ["object", "array", "string", "number"]}}}
    ),
}


@pytest.mark.parametrize("case", EXCLUSIVE)
def test_what_excludes_something_is_kept_whatever_the_model(case: str) -> None:
    schema = {"type": "object", "properties": {"q": EXCLUSIVE[case]}, "required": ["q"]}
    if "$defs" in EXCLUSIVE[case]:
        schema["$defs"] = EXCLUSIVE[case]["$defs"]
    written = {roam(Constraint.json_schema(schema), 160, seed) for seed in range(8)}
    for text in written:
        jsonschema.validate(json.loads(text), schema)
    assert len(written) > 1


def test_alternatives_that_nobody_can_tell_apart_are_all_allowed() -> None:
    twice = {"oneOf": [an_object("a"), an_object("a")]}
    named = {"oneOf": [an_object("a"), an_object("a", "b")], "discriminator": {"propertyName": "a"}}
    for schema, value in ((twice, {"a": 1}), (named, {"a": 1, "b": 2}), (named, {"a": 1})):
        parts = reduce_schema(schema)
        assert any(_allows(part, value) for part in parts.get("anyOf") or parts["oneOf"])


def _allows(schema: dict[str, Any], value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


class Everything(BaseModel):
    place: Annotated[Path, Field(max_length=4)]
    secret: SecretStr
    data: bytes
    tags: set[Literal["a", "b"]] = Field(max_length=3)


UNKNOWN: dict[str, dict[str, Any]] = {
    "formats of Pydantic": Everything.model_json_schema(),
    "not": an_object("a", **{"not": {"required": ["b"]}}),
    "names of properties": {
        "type": "object",
        "maxProperties": 0,
        "propertyNames": {"maxLength": 3},
    },
    "contains": {"type": "array", "items": DIGIT, "maxItems": 2, "contains": {"const": 1}},
    "dependencies": an_object("a", dependentRequired={"a": ["b"]}),
    "look-around": an_object("a", properties={"a": {"type": "string", "pattern": "^(?!x).*$"}}),
    "elsewhere": an_object("a", properties={"a": {"$ref": "https://example.com/x.json"}}),
    "nowhere": an_object("a", properties={"a": {"$ref": "#/$defs/Gone", "enum": [1]}}),
    "exclusive alternatives": {"oneOf": [an_object("a"), an_object("a", "b")]},
    "required and not described": {"type": "object", "properties": {}, "required": ["a"]},
    "any value": {},
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_the_engine_does_not_know_refuses_nothing(pace: Pace, case: str) -> None:
    wanted = {"type": "object", "properties": {"q": UNKNOWN[case]}, "required": ["q"]}
    if "$defs" in UNKNOWN[case]:
        wanted["$defs"] = UNKNOWN[case]["$defs"]
    assert set(write(pace, wanted)) == {"q"}


def test_what_is_left_out_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    schema = {"type": "array", "items": DIGIT, "uniqueItems": True}
    compile_grammar.cache_clear()
    with caplog.at_level(logging.INFO):
        compile_grammar(Constraint.json_schema(schema))
    assert "uniqueItems" in caplog.text


def test_an_object_says_itself_that_it_is_open() -> None:
    assert reduce_schema(an_object("a"))["additionalProperties"] is False
    assert "additionalProperties" not in reduce_schema(an_object("a"), open_objects=True)
    assert (
        reduce_schema(an_object("a", additionalProperties=DIGIT))["additionalProperties"] == DIGIT
    )
    assert "additionalProperties" not in reduce_schema({"type": "object"})


def test_properties_that_are_called_like_keywords_are_properties() -> None:
    schema = an_object("allOf", "$ref", "pattern", "properties")
    assert {*reduce_schema(schema)["properties"]} == {"allOf", "$ref", "pattern", "properties"}


def test_every_schema_within_a_schema_is_changed_innermost_first() -> None:
    seen: list[Any] = []

    def note(part: dict[str, Any]) -> dict[str, Any]:
        seen.append(part.get("title"))
        return part

    inner = {"title": "inner"}
    map_subschemas({"title": "outer", "items": [inner], "properties": {"title": inner}}, note)
    assert seen == ["inner", "inner", "outer"]
