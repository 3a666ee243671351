"""Settings under every name that people know, and the refusal of names that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pace_integrations._checks import check_timeout
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import ConfigError

# What LangChain, LlamaIndex, OpenAI and Hugging Face say, and the name of the field.
SPELLINGS = {
    "model": "model_name",
    "model_id": "model_name",
    "repo_id": "model_name",
    "max_new_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "num_output": "max_tokens",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "request_timeout": "timeout",
    "random_seed": "seed",
    "torch_dtype": "dtype",
    "device_map": "device",
    "context_window": "context",
    "activation_memory": "memory",
}
# Nothing here is sent anywhere, so there is no key to need and no request to repeat.
HARMLESS = frozenset({"api_key", "max_retries"})
_GENERATION = {
    "max_tokens": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop",
    "constraint": "constraint",
}
GENERATION_FIELDS = frozenset(_GENERATION) - {"constraint"}
_GROUPS = ("model_kwargs", "generate_kwargs", "llm_kwargs")
# Of one call, beside the fields: what tools and structured output say, and tracing notes.
_CALL_OPTIONS = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "answer_tools", "response_format", "strict"}
    | {"constraint", "ls_structured_output_format", "stream", *HARMLESS}
)


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Settings of one call: the only way to a session.

    Attributes:
        generation: How the answer is written.
        timeout: Seconds it may take; None waits for as long as it takes.
        model: Another model to ask, or None.
    """

    generation: GenerationConfig
    timeout: float | None = None
    model: str | None = None


def unify_names(given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return settings under the names of the fields.

    Groups such as ``model_kwargs`` are unpacked; ``n=1`` and ``do_sample`` are understood. Of two
    spellings of one setting the last counts.

    Args:
        given: Settings under any spelling.
        known: Names that stay as they are, though they are a spelling.

    Raises:
        ConfigError: ``do_sample`` and ``temperature`` disagree.
    """
    kept, made = frozenset(known), dict[str, Any]()
    for name, value in _unpack_groups(given, kept):
        field = name if name in kept else SPELLINGS.get(name, name)
        if value is not None or made.get(field) is None:
            made[field] = value
    sampled = made.pop("do_sample", None)
    if sampled is not None and made.get("temperature") is None:
        made["temperature"] = 1.0 if sampled else 0.0
    elif sampled is False and made["temperature"]:
        raise ConfigError("do_sample=False is temperature=0; give one of them")
    if made.get("n") in (1, None):  # an answer is one
        made.pop("n", None)
    return made


def _unpack_groups(given: Mapping[str, Any], kept: frozenset[str]) -> Iterable[tuple[str, Any]]:
    for name, value in given.items():
        if name in _GROUPS and name not in kept:
            yield from _unpack_groups(value or {}, kept)
        else:
            yield name, value


class UnknownSettingError(ConfigError, TypeError):
    """A setting that no object of this class has."""


def refuse_unknown_names(given: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Refuse the first name that is not known, with the nearest that is.

    Raises:
        UnknownSettingError: There is one.
    """
    names = frozenset(known)
    for name in given:
        if name in names:
            continue
        spelled = {**{field: field for field in names}, **SPELLINGS}
        near = [m for m in get_close_matches(name, spelled, n=3, cutoff=0.6) if m in names]
        near += [spelled[m] for m in get_close_matches(name, spelled, n=3) if spelled[m] in names]
        hint = f"did you mean {near[0]}=?" if near else f"it knows {', '.join(sorted(names))}"
        raise UnknownSettingError(f"{owner} has no setting {name!r}; {hint}")


def merge_generation(base: GenerationConfig, overrides: Mapping[str, Any]) -> GenerationConfig:
    """Return `base` with the generation settings of `overrides` that are not None.

    Raises:
        ConfigError: A setting is outside its range.
    """
    given = {_GENERATION[k]: v for k, v in overrides.items() if k in _GENERATION and v is not None}
    return replace(base, **given)


def read_call_settings(
    base: GenerationConfig, timeout: float | None, overrides: Mapping[str, Any], owner: str
) -> CallSettings:
    """Return the settings of one call: what the call gives, otherwise what its object has.

    Args:
        base: How the object writes answers.
        timeout: Seconds that the object gives an answer.
        overrides: Keyword arguments of the call; None stands for what the object has.
        owner: Name of the object's class, for errors.

    Raises:
        ConfigError: A setting is not known or outside its range.
    """
    given = unify_names(overrides, ())
    refuse_unknown_names(
        given, {*GENERATION_FIELDS, "timeout", "model_name", *_CALL_OPTIONS}, f"a call of {owner}"
    )
    limit = timeout if given.get("timeout") is None else given["timeout"]
    check_timeout(limit)
    return CallSettings(merge_generation(base, given), limit, given.get("model_name"))
