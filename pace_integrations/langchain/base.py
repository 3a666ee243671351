"""What both LangChain classes hold, and how they reach their session."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ContextOverflowError as LangChainOverflowError
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from pace_integrations import errors
from pace_integrations.adapters.lazy_session import Binding, generation
from pace_integrations.adapters.prefix_cache import Prefixes
from pace_integrations.config import GenerationConfig, MemoryConfig, Quantization
from pace_integrations.documents import Corpus
from pace_integrations.model.loading import EMBEDDED_NAME
from pace_integrations.session import Pace, Session


class PaceContextOverflowError(errors.ContextOverflowError, LangChainOverflowError):
    """More tokens than the context holds: this library's error and LangChain's at once."""


class PaceFields(BaseModel):
    """Fields and session of `ChatPace` and `PaceLLM`.

    Attributes:
        session: A session to ask, or the folder of a saved one; nothing else of the next six is
            then given, but for a `pace` to open it with.
        pace: A loaded model.
        model_name: Name or path of a model to load (`model` is accepted). By default it is the
            environment's ``PACE_MODEL``; where there is none, and no `pace`, the embedded one.
        corpus: What to read on first use.
        paths: Files, folders or globs to read on first use.
        memory: Settings of the memory of a model that is loaded here; None turns it off.
        quantization: Quantisation of a model that is loaded here.
        max_tokens: Most tokens of an answer (`max_new_tokens` is accepted).
        temperature: 0 is greedy.
        top_p: Smallest probability mass sampled from.
        top_k: Most likely tokens sampled from; 0 is all.
        seed: Seed of the sampling.
        stop: Strings that end an answer.
        timeout: Seconds an answer may take; None waits for as long as it takes.
        held_prompts: Prompts that stay computed, so that one that begins like one of them only
            costs the rest; 0 holds none.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    session: Session | str | Path | None = None
    pace: Pace | None = None
    model_name: str | None = Field(default=None, alias="model")
    corpus: Corpus | None = None
    paths: str | Path | Sequence[str | Path] | None = None
    memory: MemoryConfig | None = MemoryConfig()
    quantization: Quantization | None = None
    max_tokens: int = Field(
        default=256, validation_alias=AliasChoices("max_tokens", "max_new_tokens")
    )
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    held_prompts: int = Field(default=4, ge=0)

    _binding: Binding = PrivateAttr()
    _overrides: dict[str, Binding] = PrivateAttr(default_factory=dict)
    _prefixes: dict[int, Prefixes] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _model_of_environment(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic's signature
        given = isinstance(values, dict) and values.keys() & {
            "session",
            "pace",
            "model",
            "model_name",
        }
        named = os.environ.get("PACE_MODEL")
        return {**values, "model": named} if named and not given else values

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's signature
        """Binds the session; a bad setting is refused here, before anything is loaded."""
        super().model_post_init(context)
        # The embedded model's own name asks for it as no name does.
        name = None if self.model_name == EMBEDDED_NAME else self.model_name
        self._binding = Binding(session=self.session, pace=self.pace, **self._sources(name))
        self._generation({})

    def _sources(self, model: str | None) -> dict[str, Any]:
        return {
            "model": model,
            "corpus": self.corpus,
            "paths": self.paths,
            "memory": self.memory,
            "quantization": self.quantization,
        }

    def _bound(self, model: str | None) -> Binding:
        """The binding of a call: another model reads the same documents for itself.

        Raises:
            ConfigError: Another model is named, and what was read is given as a session.
        """
        if model is None or model == self.model_name:
            return self._binding
        if self._binding.ready and self._binding.pace.name == model:
            return self._binding
        if self.session is not None:
            raise errors.ConfigError(
                f"model={model!r} cannot answer from a session that another model has read; give "
                "paths= or corpus= instead of session="
            )
        name = None if model == EMBEDDED_NAME else model
        if name is None and self.model_name is None and self.pace is None:
            return self._binding
        if model not in self._overrides:
            self._overrides[model] = Binding(**self._sources(name))
        return self._overrides[model]

    def _prefixes_of(self, session: Session) -> Prefixes:
        key = id(session)  # the binding keeps the session, so the id stays its own
        return self._prefixes.setdefault(key, Prefixes(session, self.held_prompts))

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """LangChain's method, after loading and reading off the event loop.

        LangChain asks for `_identifying_params` on the loop before it calls `_agenerate`.
        """
        await self._binding.asession()
        return await super().agenerate(*args, **kwargs)  # type: ignore[misc]

    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: ANN401
        """LangChain's method, after loading and reading off the event loop; see `agenerate`."""
        await self._binding.asession()
        # Closing this generator must close the one within, or the model would write on.
        async with aclosing(super().astream(*args, **kwargs)) as chunks:  # type: ignore[misc]
            async for chunk in chunks:
                yield chunk

    def _generation(self, overrides: dict[str, Any]) -> GenerationConfig:
        base = generation(
            GenerationConfig(),
            {
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
                "top_p": self.top_p,
                "top_k": self.top_k,
                "seed": self.seed,
                "stop": self.stop,
            },
        )
        return generation(base, overrides)

    def _patience(self, overrides: dict[str, Any]) -> float | None:
        """Seconds that a call may take."""
        given: float | None = overrides.get("timeout", self.timeout)
        return given

    def _window(self) -> int | None:
        """Most tokens of a prompt, where that is known without loading anything."""
        known = self.session if isinstance(self.session, Session) else None
        pace = known.pace if known else self.pace
        return pace.context_window if pace else None

    def _identity(self) -> dict[str, Any]:
        """What must be equal for two of these to answer alike: the key of LangChain's caches."""
        return {**self._binding.identity(), "generation": asdict(self._generation({}))}


@contextmanager
def translated() -> Iterator[None]:
    """Turns this library's overflow error into one that is LangChain's as well."""
    try:
        yield
    except PaceContextOverflowError:
        raise
    except errors.ContextOverflowError as error:
        raise PaceContextOverflowError(
            str(error), needed=error.needed, limit=error.limit
        ) from error
