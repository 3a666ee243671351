"""Arguments of tools taken from the user's words, for models that cannot be trusted to fill them.

A small model that was never trained to call tools writes arbitrary values. Held to the numbers and
the runs of words that the user wrote, it only chooses among them. It knows no framework.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pace_integrations.adapters.tool_calls import Tool
from pace_integrations.documents.quotes.sentences import split_sentences
from pace_integrations.documents.quotes.words import content_keys
from pace_integrations.model.constrained.json_schema import map_subschemas

_QUOTED = re.compile(r"'([^'\n]{1,200})'(?!\w)|\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|`([^`\n]+)`")
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:\.\d+)?(?![\w]|\.\d)")
_MAX_WORDS = 8
_MAX_PHRASES = 300
# What limits a value in ways that only the grammar keeps; such parts are left as they are.
_LIMITED = frozenset({"enum", "const", "pattern", "format", "multipleOf"})


def ground_tools(tools: Sequence[Tool], text: str) -> list[Tool]:
    """Return tools whose free arguments are held to what a text says.

    Texts in quotation marks come before runs of words, and a parameter that is called question,
    query or input gets whole sentences. Numbers are those of the text. Where it has none, and where
    the schema limits a text itself, the schema stays as it is.

    Args:
        tools: The tools.
        text: What the user wrote.
    """
    return [replace(tool, parameters=ground_schema(tool.parameters, text)) for tool in tools]


def match_tools(tools: Sequence[Tool], text: str) -> list[Tool]:
    """Return the tools whose names and descriptions share most words with a text, or all."""
    wanted = content_keys(text)
    shared = [
        len(wanted & content_keys(f"{tool.name.replace('_', ' ')} {tool.description}"))
        for tool in tools
    ]
    best = max(shared, default=0)
    return [tool for tool, count in zip(tools, shared, strict=True) if count == best]


def ground_schema(schema: Any, text: str) -> Any:  # noqa: ANN401 - a schema is a mapping or a boolean
    """Return a schema whose free values are held to what a text says; see `ground_tools`."""

    def change(part: dict[str, Any]) -> dict[str, Any]:
        named = part.get("properties")
        if not isinstance(named, dict):
            return part
        held = {name: _ground_value(name, value, text) for name, value in named.items()}
        return {**part, "properties": held}

    return map_subschemas(schema, change)


def _ground_value(name: str, schema: Any, text: str) -> Any:  # noqa: ANN401 - any part of a schema
    if not isinstance(schema, dict) or schema.keys() & _LIMITED:
        return schema
    options: list[Any] = []
    if schema.get("type") == "string":
        whole = name == "input" or any(word in name.lower() for word in ("question", "query"))
        found = _find_sentences(text) if whole else _find_phrases(text)
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        options = [value for value in found if shortest <= len(value) <= longest]
    elif schema.get("type") in ("integer", "number"):
        numbers = _find_numbers(text, whole=schema["type"] == "integer")
        options = [number for number in numbers if _is_within_limits(number, schema)]
    return {**schema, "enum": options} if options else schema


def _find_numbers(text: str, *, whole: bool) -> list[int | float]:
    found = [found.replace("−", "-") for found in _NUMBER.findall(text)]
    values = [int(n) if "." not in n else float(n) for n in found]
    return list(dict.fromkeys(v for v in values if not whole or isinstance(v, int)))


def _is_within_limits(number: float, schema: dict[str, Any]) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above = schema.get("exclusiveMinimum", -math.inf)
    below = schema.get("exclusiveMaximum", math.inf)
    return bool(low <= number <= high and above < number < below)


def _find_sentences(text: str) -> list[str]:
    parts = (text[start:end].strip() for start, end in split_sentences(text))
    return list(dict.fromkeys([text.strip(), *parts]))


def _find_phrases(text: str) -> list[str]:
    """Return what stands in quotation marks, or else every run of a few words of a sentence."""
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
    if quoted:
        return list(dict.fromkeys(quoted))
    runs: dict[str, None] = {}
    for start, end in split_sentences(text):
        words = [found.span() for found in re.finditer(r"\S+", text[start:end])]
        for i, (first, _) in enumerate(words):
            for _, last in words[i : i + _MAX_WORDS]:
                runs[text[start + first : start + last].strip(".,;:!?()")] = None
    runs.pop("", None)
    return list(runs)[:_MAX_PHRASES]
