"""The options that components share, sorted into model, answers and callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pace_integrations.llama_index.llm import PaceLLM

_MODEL = ("pace", "model", "memory", "quantization")
_GENERATION = ("max_new_tokens", "temperature", "top_p", "top_k", "seed", "stop")


def take(options: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the options that go by `names`; they are taken out."""
    return {name: options.pop(name) for name in names if name in options}


def llm_over(options: dict[str, Any], **given: Any) -> PaceLLM:  # noqa: ANN401
    """The LLM of a component.

    Args:
        options: What is left of the component's options.
        **given: What it answers from: ``session``, ``corpus`` or ``paths``.

    Raises:
        TypeError: An option is none that the LLM takes.
    """
    settings = take(options, (*_GENERATION, "callback_manager"))
    model = take(options, _MODEL)
    if options:
        raise TypeError(f"unknown options: {', '.join(sorted(options))}")
    return PaceLLM(**given, **model, **{k: v for k, v in settings.items() if v is not None})
