"""What is given to a model or a session, checked where it enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pace_integrations._checks import check_choice, check_count, check_instance, check_path
from pace_integrations.config import (
    ExpertConfig,
    GenerationConfig,
    MemoryConfig,
    Overflow,
    ReadConfig,
)
from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError, QuestionError
from pace_integrations.store.manifest import check_namespace


def check_load_arguments(given: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where an argument of `Pace.load` is of another kind.

    What else may be wrong with them is found when the model's files are looked at.
    """
    for name in ("model", "adapter", "ahn"):
        # An empty model name is refused where models are known, with what to do instead.
        if name != "model" or given[name] != "":
            check_path(given[name], name, optional=True)
    check_instance(given["memory"], MemoryConfig, "memory", optional=True)
    check_instance(given["experts"], ExpertConfig, "experts", optional=True)
    check_instance(given["revision"], str, "revision", optional=True)
    check_choice(given["overflow"], get_args(Overflow), "overflow")
    if given["context"] is not None:
        check_count(given["context"], "context")


def check_read_arguments(given: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where an argument of `Pace.read` is of another kind or excluded."""
    check_namespace(given["namespace"])
    check_corpus(given["corpus"])
    check_instance(given["config"], ReadConfig, "config")
    check_path(given["path"], "path", optional=True)
    check_instance(given["store"], bool, "store")
    if given["path"] is not None and given["store"]:
        raise ConfigError("path and store exclude each other; give one of them")


def check_question(question: object) -> None:
    """Raise `QuestionError` unless something is a text, or a list as one of messages is."""
    if not isinstance(question, str | Sequence) or isinstance(question, bytes):
        raise QuestionError(
            f"a question is a text, or a list of messages that ends with one; got {question!r}"
        )


def check_generation(generation: GenerationConfig | None) -> GenerationConfig:
    """Return how an answer is written; None is the default.

    Raises:
        ConfigError: It is something else.
    """
    check_instance(generation, GenerationConfig, "generation", optional=True)
    return GenerationConfig() if generation is None else generation


def check_corpus(corpus: Corpus) -> None:
    """Raise `ConfigError` for something to read that is no corpus."""
    if not isinstance(corpus, Corpus):
        raise ConfigError(
            f"what is read is a Corpus, not {corpus!r}; Corpus.from_paths(...) reads files and "
            "folders, Corpus.from_texts(...) takes texts"
        )
