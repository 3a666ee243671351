"""Arguments taken from the user's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pace_integrations.adapters.argument_grounding import ground_tools
from pace_integrations.adapters.tool_calls import Tool

ANY = {"type": "string"}


def options(schema: dict[str, Any], text: str, name: str = "value") -> Any:
    tool = Tool("f", parameters={"type": "object", "properties": {name: schema}})
    return ground_tools([tool], text)[0].parameters["properties"][name].get("enum")


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "integer"}, "What is f(3) of -14 and 2.5?", [3, -14]),
        ({"type": "number"}, "What is f(3) of -14 and 2.5?", [3, -14, 2.5]),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 14}, "3, -1 or 14", [3]),
        ({"type": "integer"}, "No number, but b12 and 1.2.3", None),
        ({"type": "integer", "enum": [1]}, "2", [1]),
        (ANY, "Greet 'Ada Moss' and \"Bo\".", ["Ada Moss", "Bo"]),
        (ANY, "Don't stop.", ["Don't", "Don't stop", "stop"]),
        ({**ANY, "pattern": "^a"}, "An apple.", None),
    ],
)
def test_values_are_those_of_the_text(schema: dict[str, Any], text: str, expected: Any) -> None:
    assert options(schema, text) == expected


def test_a_question_is_asked_in_whole_sentences() -> None:
    text = "I rent a flat. What is the rent?"
    assert options(ANY, text, "question") == [text, "I rent a flat.", "What is the rent?"]


@given(st.text(max_size=200))
def test_every_text_on_offer_stands_in_what_was_said(text: str) -> None:
    offered = options(ANY, text) or []
    assert all(value and value in text for value in offered)
    assert len(offered) == len(set(offered)) <= 300


def test_arguments_within_arguments_are_held_too() -> None:
    inner = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tool = Tool("f", parameters={"type": "object", "properties": {"inner": inner}})
    held = ground_tools([tool], "Take 5.")[0].parameters
    assert held["properties"]["inner"]["properties"]["n"]["enum"] == [5]
