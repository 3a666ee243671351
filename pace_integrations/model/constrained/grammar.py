"""Constraints as grammars of llguidance, and what to say when it refuses one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher

from pace_integrations._text import repair_text
from pace_integrations.config import Constraint
from pace_integrations.model.constrained.json_schema import reduce_schema

logger = logging.getLogger(__name__)

# What the engine does not know in a schema constrains nothing, instead of refusing the whole.
_LENIENT: Any = {"whitespace_flexible": False, "lenient": True, "coerce_one_of": True}


@lru_cache(maxsize=64)
def compile_grammar(constraint: Constraint) -> str:
    """Return a constraint in the engine's own form; what is wrong with it shows when it is used.

    Parts of a JSON schema that the engine cannot hold text to are left out, and the log says
    which, once for each schema.
    """
    if constraint.kind == "lark":
        return LLMatcher.grammar_from_lark(repair_text(constraint.source))
    if constraint.kind == "regex":
        return LLMatcher.grammar_from_regex(repair_text(constraint.source))
    given = _repair_schema(json.loads(constraint.source))
    schema = reduce_schema(given, open_objects=constraint.open_objects)
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_LENIENT)
    _log_ignored_parts(grammar)
    return grammar


def embed_schema(schema: Mapping[str, Any]) -> str:
    """Return a schema from `reduce_schema` as a term of a Lark grammar."""
    return f"%json {json.dumps(_repair_schema({**schema, 'x-guidance': _LENIENT}))}"


def _repair_schema(schema: Any) -> Any:  # noqa: ANN401 - a mapping or a boolean
    """Return a schema without halves of characters, which the engine refuses."""
    return json.loads(repair_text(json.dumps(schema, ensure_ascii=False)))


def describe_refusal(constraint: Constraint, error: str) -> str:
    """Return what to say of a constraint that the engine refuses."""
    names = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "Lark grammar"}
    reason = error.strip().splitlines()[0].rstrip(".") if error.strip() else "no reason given"
    return (
        f"the {names[constraint.kind]} cannot constrain an answer: {reason}; "
        "change or leave out that part"
    )


def _log_ignored_parts(grammar: str) -> None:
    failed, notes = LLMatcher.validate_grammar_with_warnings(grammar)
    if notes and not failed:
        logger.info("answers are not held to a part of the JSON schema: %s", "; ".join(notes))
