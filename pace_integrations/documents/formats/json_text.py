"""Reads JSON: every value with the path that leads to it, records one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.encodings import decode_text
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import LimitExceededError, ParseResult

_NOT_TEXT = "The file is not text, or in an encoding that it does not declare; save it as UTF-8."
_BROKEN = "It is no valid JSON and was read as plain text."
_LINES = frozenset({".jsonl", ".ndjson"})


def _walk_values(value: object, path: str) -> Iterator[str]:
    """Yield the values below one, each on a line with its path."""
    stack: list[tuple[Any, str]] = [(value, path)]
    while stack:  # nesting has no bound here
        value, path = stack.pop()
        if isinstance(value, _Object):
            members = value.items()
            if not members:
                yield f"{path}: {{}}" if path else "{}"
            stack += [(v, f"{path}.{k}" if path else str(k)) for k, v in reversed(members)]
        elif isinstance(value, list) and not all(_is_plain(item) for item in value):
            stack += [(v, f"{path}[{n}]") for n, v in reversed(list(enumerate(value)))]
        elif isinstance(value, list):
            items = ", ".join(map(_format_value, value)) or "[]"
            yield f"{path}: {items}" if path else items
        else:
            yield f"{path}: {_format_value(value)}" if path else _format_value(value)


def _is_plain(value: object) -> bool:
    return not isinstance(value, _Object | list)


def _format_value(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _make_blocks(value: object) -> Iterator[Block]:
    """Yield the records of a list, or the members of an object, as sections."""
    if isinstance(value, list) and not all(_is_plain(item) for item in value):
        named = [(f"[{number}]", item) for number, item in enumerate(value)]
    elif isinstance(value, _Object):
        named = [(str(key), item) for key, item in value.items()]
    else:
        named = [("", value)]
    for name, item in named:
        text = clean_characters("\n".join(_walk_values(item, name)))
        yield Block(f"{text}\n", 1 if name else 0, name)


class _Number(str):
    """A number as the file writes it."""


class _Object(tuple[tuple[str, Any], ...]):
    """An object with all of its members: names may come twice."""

    __slots__ = ()

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return names and values."""
        return self


def _load(text: str) -> object:
    # Numbers stay as they are written: 1.10 is no 1.1.
    return json.loads(
        text, parse_float=_Number, parse_int=_Number, object_pairs_hook=lambda m: _Object(m)
    )


def _load_values(text: str, suffix: str) -> object:
    if suffix not in _LINES:
        try:
            return _load(text)
        except ValueError:
            if "\n" not in text.strip():
                raise
    lines = (line for line in text.split("\n") if line.strip())
    return [_load(line) for line in lines]


def parse_json(data: bytes, job: ParseJob) -> ParseResult:
    """Read every value with its path; what is no JSON is read as text."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the file is larger than the limit of expanded bytes")
    text, problem = decode_text(data)
    warnings = () if problem is None else (problem,)
    if text is None:
        return ParseResult("corrupt", warnings=warnings, remedy=_NOT_TEXT)
    try:
        blocks = _make_blocks(_load_values(text.lstrip("\ufeff"), job.suffix))
        broken = False
    except (ValueError, RecursionError):
        blocks, broken = iter([Block(clean_characters(text))]), True
    count = 0
    for page in split_sections(blocks):
        job.emit(page)
        count = page.index
    if not count:
        return ParseResult("empty", 1, warnings=warnings, remedy="The file holds no values.")
    if broken or problem is not None:
        return ParseResult("partial", count, warnings=warnings, remedy=_BROKEN)
    return ParseResult("ok", count)
