"""Fields of every model class of both integrations, and how such an object reaches its session.

LangChain and LlamaIndex both build on Pydantic: one mixin gives their classes the same settings
under the same names, one refusal of others, one identity, and copies that share the loaded model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

from pace_integrations._checks import check_timeout, to_builtin
from pace_integrations.adapters.call_settings import (
    GENERATION_FIELDS,
    HARMLESS,
    SPELLINGS,
    merge_generation,
    refuse_unknown_names,
    unify_names,
)
from pace_integrations.adapters.lazy_session import (
    is_pace,
    is_session,
)
from pace_integrations.config import (
    ExpertConfig,
    GenerationConfig,
    KvDtype,
    MemoryConfig,
    Overflow,
    Quantization,
)
from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError

if TYPE_CHECKING:
    from pace_integrations.session import Pace, Session
else:  # so that fields can be declared without PyTorch
    Pace = Session = Any

# What `to_dict` of LlamaIndex adds to the fields.
_WRITTEN_DOWN = frozenset({"class_name", "document_state"})
SOURCE_FIELDS = ("session_source", "pace", "corpus", "paths")
LOAD_FIELDS = (
    *(
        "adapter",
        "memory",
        "experts",
        "dtype",
        "device",
        "quantization",
        "revision",
        "trust_remote_code",
    ),
    *("overflow", "context", "kv", "ahn"),
)
_NUMBERS = GENERATION_FIELDS - {"stop"} | {"timeout", "held_prompts", "batch_size", "context"}
# None is a value of these; elsewhere it stands for the default.
_NULLABLE = frozenset(
    {*SOURCE_FIELDS, "model_name", "seed", "timeout", "tool_policy", *LOAD_FIELDS}
)


class PaceSettings(BaseModel):
    """Settings of a model class.

    Every setting is taken under the names that people know (`call_settings.SPELLINGS`), also in
    ``model_kwargs=`` and ``generate_kwargs=``; None stands for the default, and an unknown name is
    refused with the nearest known one.

    Attributes:
        session_source: A session to ask, or the folder of a saved one (given as ``session=``);
            nothing else of the next four is then given, but for a `pace` to open it with.
        pace: A loaded model.
        model_name: Name or path of a model to load (`model` is accepted). By default it is the
            environment's ``PACE_MODEL``; where there is none, and no `pace`, the default model.
        corpus: What to read on first use.
        paths: Files, folders or globs to read on first use.
        adapter: Adapter in PEFT's format to merge into a model that is loaded here.
        memory: Settings of the activation memory of a model that is loaded here; None, the
            default, is without it (`activation_memory` is accepted).
        experts: How the neurons of a model that is loaded here are divided into experts.
        dtype: As for `Pace.load`, and so are the next seven.
        device: Where the model runs.
        quantization: As in `Pace.load`.
        revision: Commit, branch or tag on the Hub.
        trust_remote_code: Whether code of the checkpoint may run.
        overflow: What happens to more tokens than the context holds.
        context: Most tokens held at once.
        kv: How the KV cache is held.
        ahn: Networks for ``overflow="ahn"``, as in `Pace.load`.
        load_options: Further keyword arguments of `Pace.load`.
        max_tokens: Most tokens of an answer (`max_new_tokens` is accepted).
        temperature: 0 is greedy.
        top_p: Smallest probability mass sampled from.
        top_k: Most likely tokens sampled from; 0 is all.
        seed: Seed of the sampling.
        stop: Strings that end an answer.
        timeout: Seconds an answer may take; None waits for as long as it takes.
        held_prompts: Prompts that stay in the KV cache, so that one that begins like one of them
            only costs the rest; 0 holds none.
        batch_size: Most calls that are answered in one batch; 1 answers each alone.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, populate_by_name=True, protected_namespaces=()
    )

    session_source: Session | str | Path | None = Field(default=None, alias="session")
    pace: Pace | None = None
    model_name: str | None = Field(default=None, alias="model")
    corpus: Corpus | None = None
    paths: str | Path | Sequence[str | Path] | None = None
    adapter: str | Path | None = None
    memory: MemoryConfig | None = None
    experts: ExpertConfig | None = None
    dtype: Any = "auto"
    device: str | None = None
    quantization: Quantization | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    overflow: Overflow = "error"
    context: int | None = None
    kv: KvDtype = "full"
    ahn: str | Path | None = None
    load_options: dict[str, Any] = Field(default_factory=dict)
    max_tokens: int = Field(default=256, gt=0)
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    held_prompts: int = Field(default=4, ge=0)
    batch_size: int = Field(default=16, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _accept_names(cls, values: Any) -> Any:  # noqa: ANN401 - Pydantic's signature
        if not isinstance(values, dict):
            return values
        given = cls._unify_settings(values)
        _refuse_foreign("session", given.get("session_source"))
        _refuse_foreign("pace", given.get("pace"))
        if isinstance(given.get("corpus"), Mapping):
            _refuse_foreign("corpus", given["corpus"])
        cls._check_numbers(given)
        named = os.environ.get("PACE_MODEL")
        if named and not given.keys() & {"session_source", "pace", "model_name"}:
            given["model_name"] = named
        return given

    @classmethod
    def _unify_settings(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings under the names of the fields.

        Raises:
            UnknownSettingError: One is not known.
        """
        aliases = {str(f.alias): name for name, f in cls.model_fields.items() if f.alias}
        kept = {*cls.model_fields, *aliases} - SPELLINGS.keys()
        given = unify_names(values, kept)
        given = {aliases.get(name, name): value for name, value in given.items()}
        given = {
            name: to_builtin(value)
            for name, value in given.items()
            if name not in HARMLESS | _WRITTEN_DOWN
            and (value is not None or name in _NULLABLE or name not in PaceSettings.model_fields)
        }
        own = set(cls.model_fields)
        unknown = {name: given.pop(name) for name in [*given] if name not in own}
        if unknown:  # what only this version's Pace.load knows
            given["load_options"] = {**given.get("load_options", {}), **unknown}
            refuse_unknown_names(unknown, own | _find_load_options(unknown), cls.__name__)
        if isinstance(given.get("stop"), str):
            given["stop"] = [given["stop"]]
        return given

    @classmethod
    def _check_numbers(cls, given: Mapping[str, Any]) -> None:
        """Refuse what Pydantic would take for a number, and what is out of its range."""
        for name, value in given.items():
            if isinstance(value, bool) and name in _NUMBERS:
                raise ConfigError(f"{name} must be a number, got {value!r}")
        check_timeout(given.get("timeout"))
        merge_generation(GenerationConfig(), given)

    @field_serializer("session_source", "pace", "corpus", when_used="unless-none")
    def _serialize_source(self, value: Any) -> Any:  # noqa: ANN401 - one of three kinds
        if isinstance(value, (str, os.PathLike)):
            return os.fspath(value)
        if isinstance(value, Corpus):
            return {"fingerprint": value.fingerprint}
        if is_pace(value):
            return value.fingerprint
        corpus = value.corpus
        return {**value.pace.fingerprint, "corpus": corpus.fingerprint if corpus else None}

    @field_serializer("dtype")
    def _serialize_dtype(self, value: Any) -> str:  # noqa: ANN401 - a word or PyTorch's type
        return str(value).removeprefix("torch.")

    @field_serializer("paths", when_used="unless-none")
    def _serialize_paths(self, value: Any) -> Any:  # noqa: ANN401
        one = isinstance(value, (str, os.PathLike))
        return os.fspath(value) if one else [os.fspath(path) for path in value]


def _find_load_options(names: Mapping[str, Any]) -> frozenset[str]:
    """Return the parameters of `Pace.load` where one of the names could be one."""
    import inspect

    from pace_integrations.session import Pace

    parameters = frozenset(inspect.signature(Pace.load).parameters) - {"model"}
    return parameters & names.keys()


def _refuse_foreign(name: str, value: Any) -> None:  # noqa: ANN401 - as it was given
    if value is None or (name == "session" and isinstance(value, (str, os.PathLike))):
        return
    if isinstance(value, Mapping):
        raise ConfigError(
            f"this was written down by an object over a live {name}, which cannot travel; save "
            f"the session and give its folder, or give {name}= again"
        )
    if (name == "session" and not is_session(value)) or (name == "pace" and not is_pace(value)):
        raise ConfigError(f"{name}= must be a {name.capitalize()}, not a {type(value).__name__}")
