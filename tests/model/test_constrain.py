"""Constrained answers: complete and valid for any model, within any budget that can hold them."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from typing import Any

import jsonschema
import pytest
import torch
from constrained import END, PADDED, SCHEMAS, TOKENIZER, roam
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_model

from pace_integrations import Constraint, GenerationConfig, Session
from pace_integrations.errors import ConfigError
from pace_integrations.model.constrained.guide import Guide
from pace_integrations.model.decode import TextDelta, decode_answer
from pace_integrations.model.kv_cache.cache import new_cache


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return tiny_model("qwen3", vocab_size=len(TOKENIZER), num_hidden_layers=1)


def write(model: torch.nn.Module, constraint: Constraint, budget: int, seed: int = 0) -> str:
    config = GenerationConfig(
        max_new_tokens=budget, temperature=1.0, seed=seed, constraint=constraint
    )
    pieces: list[TextDelta] = list(
        decode_answer(model, TOKENIZER, [5], new_cache(model), config, chunk=8, around=nullcontext)
    )
    assert pieces[-1].finish == "stop"
    assert pieces[-1].tokens <= budget
    return "".join(piece.text for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, st.integers(0, 9))
def test_a_model_that_does_not_help_keeps_any_schema(schema: dict[str, Any], seed: int) -> None:
    text = roam(Constraint.json_schema(schema), 400, seed)
    jsonschema.validate(
        json.loads(text), schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


@settings(max_examples=30, deadline=None)
@given(SCHEMAS, st.integers(0, 9))
def test_the_smallest_budget_that_is_accepted_is_enough(schema: dict[str, Any], seed: int) -> None:
    constraint = Constraint.json_schema(schema)
    need = next(n for n in range(1, 400) if accepted(constraint, n))
    assert len(TOKENIZER.encode(roam(constraint, need, seed))) <= need
    jsonschema.validate(json.loads(roam(constraint, need, seed)), schema)


def accepted(constraint: Constraint, budget: int) -> bool:
    try:
        Guide(constraint, TOKENIZER, {END}, budget)
    except ConfigError:
        return False
    return True


TREE = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "minItems": 0},
                "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            },
            "required": ["name", "children", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/tree",
}


@pytest.mark.parametrize("budget", [60, 300])
def test_what_refers_to_itself_ends_in_time(budget: int) -> None:
    for seed in range(10):
        jsonschema.validate(json.loads(roam(Constraint.json_schema(TREE), budget, seed)), TREE)


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        (Constraint.regex("[a-c]{2,5}-[0-9]+"), "[a-c]{2,5}-[0-9]+"),
        (Constraint.choice('yes "indeed"', "no|nay", "ä\n"), 'yes "indeed"|no\\|nay|ä\n'),
        (Constraint.lark('start: "<" %json {"type": "integer"} ">"'), "<-?[0-9]+>"),
    ],
)
def test_other_constraints_are_kept(
    model: torch.nn.Module, constraint: Constraint, pattern: str
) -> None:
    texts = {write(model, constraint, 30, seed) for seed in range(5)}
    assert all(re.fullmatch(pattern, text) for text in texts)
    assert len(texts) > 1


@given(st.text('ab {}[]"019,.é', min_size=1, max_size=30))
def test_what_the_constraint_allows_is_not_overruled(text: str) -> None:
    ids = TOKENIZER.encode(text)
    guide = Guide(Constraint.regex("(?s:.*)"), TOKENIZER, {END}, len(ids))
    wanted = torch.nn.functional.one_hot(torch.tensor(ids), PADDED).float()
    assert [
        int(guide.choose_token(logits[None], lambda x: x.argmax(-1))) for logits in wanted
    ] == ids


@pytest.mark.parametrize("name", ["pace", "nano"])
def test_a_session_asks_and_streams_under_a_constraint(
    name: str, house_session: Session, request: pytest.FixtureRequest
) -> None:
    schema = {"type": "object", "properties": {"hour": {"type": "integer"}}, "required": ["hour"]}
    session = house_session if name == "pace" else request.getfixturevalue("embedded").blank()
    config = GenerationConfig(max_new_tokens=40, constraint=Constraint.json_schema(schema))
    answer = session.ask("When does the gate open?", generation=config)
    jsonschema.validate(json.loads(answer.text), schema)
    assert answer.finish_reason == "stop"
    assert "".join(session.stream("When does the gate open?", generation=config)) == answer.text


@pytest.mark.parametrize(
    ("constraint", "budget", "reason"),
    [
        (Constraint.json_schema({"type": "array", "minItems": 3, "maxItems": 1}), 50, "minItems"),
        (Constraint.regex("(((("), 50, "regular expression"),
        (Constraint.lark("start: other"), 50, "Lark grammar"),
        (Constraint.json_schema({"const": "long enough"}), 5, "max_new_tokens=5"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_it_starts(
    constraint: Constraint, budget: int, reason: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        Guide(constraint, TOKENIZER, {END}, budget)


def test_malformed_constraints_are_refused_when_they_are_made() -> None:
    with pytest.raises(ConfigError, match="JSON values"):
        Constraint.json_schema({"type": {"a", "b"}})
    with pytest.raises(ConfigError, match="options"):
        Constraint.choice()


def test_a_text_whose_end_is_hard_to_find_is_written_without_a_promise() -> None:
    expression = "[a-z]*(?:quixotry|zephyr)Z"
    text = roam(Constraint.regex(expression), 20, 0)
    assert re.fullmatch("[a-z]{20}", text)
