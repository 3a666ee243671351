"""What is asked of an answer, in every form that people write it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pydantic.v1
import pytest
from pydantic import BaseModel, RootModel

from pace_integrations.adapters.answer_format import parse_response_format, parse_tool_choice
from pace_integrations.errors import ConfigError


@pytest.mark.parametrize(
    ("choice", "kind", "names"),
    [
        (None, "auto", ()),
        (False, "auto", ()),
        (True, "required", ()),
        ("ANY", "required", ()),
        ("None", "none", ()),
        ("add", "required", ("add",)),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", ()),
        ({"mode": "required"}, "required", ()),
        ({"name": "add"}, "required", ("add",)),
        ({"tool": {"name": "add"}}, "required", ("add",)),
        ({"auto": {}}, "auto", ()),
        ({"any": {}}, "required", ()),
        ({"function_calling_config": {"mode": "NONE"}}, "none", ()),
        (
            {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}},
            "required",
            ("add",),
        ),
    ],
)
def test_a_choice_is_taken_in_the_form_of_every_interface(
    choice: Any, kind: str, names: tuple[str, ...]
) -> None:
    assert parse_tool_choice(choice) == (kind, names)


@pytest.mark.parametrize("wrong", [{}, {"auto": {}, "any": {}}, 3, {"type": "sometimes"}])
def test_a_choice_of_no_known_form_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="no known form"):
        parse_tool_choice(wrong)


class Old(pydantic.v1.BaseModel):
    n: int


class New(BaseModel):
    n: int


class Numbers(RootModel[list[int]]):
    pass


@dataclass
class Plain:
    n: int


@pytest.mark.parametrize("kind", [Old, New, Plain, list[New], New | None, Numbers])
def test_a_format_may_be_a_type(kind: Any) -> None:
    schema = parse_response_format(kind)
    assert schema is not None
    assert "n" in str(schema) or schema["type"] == "array"
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert parse_response_format(schema) == parse_response_format(named) == schema


@pytest.mark.parametrize("wrong", ["json", {}, {"type": "grammar"}, {"type": "json_schema"}, 3])
def test_a_format_of_no_known_form_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="is not known"):
        parse_response_format(wrong)
