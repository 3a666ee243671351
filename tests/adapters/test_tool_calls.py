"""Calls of tools as text: held to their schemas, and told from other text as they are written."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from constrained import SCHEMAS, roam
from hypothesis import given, settings
from hypothesis import strategies as st

from pace_integrations.adapters.tool_calls import (
    Call,
    CallReader,
    Tool,
    constrain_calls,
    describe_tools,
    write_call,
)

NAMED = {
    "type": "object",
    "properties": {"who": {"$ref": "#/$defs/Name"}, "times": {"type": "integer"}},
    "required": ["who", "times"],
    "$defs": {
        "Name": {
            "type": "object",
            "properties": {"first": {"enum": ["Ada", "Bo"]}},
            "required": ["first"],
        }
    },
}
TOOLS = [Tool("greet", "Greets.", NAMED), Tool("stop")]


def read(pieces: list[str]) -> tuple[str, list[Call]]:
    reader = CallReader()
    found = [item for piece in pieces for item in reader.push(piece)] + reader.finish()
    text = "".join(item for item in found if isinstance(item, str))
    return text, [item for item in found if isinstance(item, Call)]


@pytest.mark.parametrize("parallel", [False, True])
def test_calls_are_valid_whatever_the_model(parallel: bool) -> None:
    counts = set()
    for seed in range(25):
        written = roam(constrain_calls(TOOLS, required=True, parallel=parallel), 400, seed)
        text, calls = read([written])
        counts.add(len(calls))
        assert not text.strip()
        for call in calls:
            tool = next(tool for tool in TOOLS if tool.name == call.name)
            jsonschema.validate(json.loads(call.arguments), tool.arguments)
    assert (max(counts) > 1) is parallel
    assert min(counts) == 1


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), SCHEMAS, min_size=1), st.integers(0, 9))
def test_arguments_of_any_schema_are_kept(properties: dict[str, Any], seed: int) -> None:
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    tool = Tool("f", parameters=schema)
    written = roam(constrain_calls([tool], required=True, parallel=False), 600, seed)
    (call,) = read([written])[1]
    jsonschema.validate(json.loads(call.arguments), schema)


def test_a_model_may_write_text_where_no_call_is_required() -> None:
    free = constrain_calls(TOOLS, required=False, parallel=True)
    assert any(not read([roam(free, 50, seed)])[1] for seed in range(5))


WORDS = st.text("ab <>/tool_call\n", max_size=12).filter(lambda text: "<tool_call>" not in text)


@given(WORDS, st.dictionaries(st.text("xy", min_size=1), st.integers()), st.data())
def test_reading_does_not_depend_on_where_pieces_end(
    before: str, arguments: dict[str, int], data: st.DataObject
) -> None:
    whole = f"{before}{write_call('greet', arguments)}\n{write_call('stop', {})}"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    text, calls = read(pieces)
    assert text.strip() == before.strip()
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("greet", arguments),
        ("stop", {}),
    ]


def test_text_without_calls_comes_through_as_it_is() -> None:
    text = "a < b,\n\n<tool> and <tool_"
    assert read(list(text)) == (text, [])


@pytest.mark.parametrize(
    "broken", ["{}", "no JSON", '{"name": 1, "arguments": {}}', '{"name": "f", "arguments": []}']
)
def test_what_is_no_call_has_no_name(broken: str) -> None:
    assert read([f"<tool_call>{broken}</tool_call>"]) == ("", [Call(None, broken)])
    assert read([f"<tool_call>{broken}"]) == ("", [Call(None, broken)])


def test_the_instruction_names_every_tool_with_its_schema() -> None:
    listed = re.search("<tools>\n(.*)\n</tools>", describe_tools(TOOLS), re.DOTALL)
    assert listed is not None
    described = [json.loads(line)["function"] for line in listed[1].splitlines()]
    assert [tool["name"] for tool in described] == ["greet", "stop"]
    assert described[0]["parameters"] == NAMED
