"""What both LangChain classes hold, and how they reach their session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ContextOverflowError as LangChainOverflowError
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from pace_integrations import errors
from pace_integrations.binding import Binding, generation
from pace_integrations.config import GenerationConfig, MemoryConfig, Quantization
from pace_integrations.documents import Corpus
from pace_integrations.session import Pace, Session


class PaceContextOverflowError(errors.ContextOverflowError, LangChainOverflowError):
    """More tokens than the context holds: this library's error and LangChain's at once."""


class PaceFields(BaseModel):
    """Fields and session of `ChatPace` and `PaceLLM`.

    Attributes:
        session: A session to ask; nothing else of the next six is then given.
        pace: A loaded model.
        model_name: Name or path of a model to load (`model` is accepted); None with no `pace`
            takes the embedded one.
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
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    session: Session | None = None
    pace: Pace | None = None
    model_name: str | None = Field(default=None, alias="model")
    corpus: Corpus | None = None
    paths: str | Path | Sequence[str | Path] | None = None
    memory: MemoryConfig | None = MemoryConfig()
    quantization: Quantization | None = None
    max_tokens: int = Field(default=256, alias="max_new_tokens")
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: list[str] | None = None

    _binding: Binding = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's signature
        """Binds the session; a bad setting is refused here, before anything is loaded."""
        super().model_post_init(context)
        self._binding = Binding(
            session=self.session,
            pace=self.pace,
            model=self.model_name,
            corpus=self.corpus,
            paths=self.paths,
            memory=self.memory,
            quantization=self.quantization,
        )
        self._generation({})

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
