"""What the faces share: a session made on first use, and one reading of common settings."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pace_integrations.config import GenerationConfig, MemoryConfig, Quantization
from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError
from pace_integrations.model.loading import EMBEDDED_NAME
from pace_integrations.session import Pace, Session
from pace_integrations.store import manifest

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_MEMORY = MemoryConfig()
# What LangChain, LlamaIndex and OpenAI-style callers say, and what it is called here.
_NAMES = {
    "max_new_tokens": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "num_output": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop",
    "constraint": "constraint",
}


def generation(base: GenerationConfig, overrides: Mapping[str, Any]) -> GenerationConfig:
    """Settings of one call: `base`, with what `overrides` sets and is not None.

    Args:
        base: Settings of the object that is called.
        overrides: Settings of the call, under the frameworks' names; others are passed over.

    Raises:
        ConfigError: A setting is outside its range.
    """
    given = {_NAMES[k]: v for k, v in overrides.items() if k in _NAMES and v is not None}
    if "stop" in given and not isinstance(given["stop"], str):
        given["stop"] = tuple(given["stop"])
    return replace(base, **given)


class Binding:
    """A session, loaded and read when it is first used.

    Args:
        session: A session that has read already, or the folder of a saved one; nothing but a
            `pace` to open it with may then be given. Without one, the model that it was saved
            with is loaded.
        pace: A loaded model.
        model: Name or path of a model to load; None with no `pace` takes the embedded one.
        corpus: What to read.
        paths: Files, folders or globs to read.
        memory: Settings of the memory of a model that is loaded here; None turns it off.
        quantization: Quantisation of a model that is loaded here.

    Raises:
        ConfigError: More than one model or more than one corpus is given.
    """

    def __init__(
        self,
        *,
        session: Session | str | os.PathLike[str] | None = None,
        pace: Pace | None = None,
        model: str | os.PathLike[str] | None = None,
        corpus: Corpus | None = None,
        paths: Paths | None = None,
        memory: MemoryConfig | None = _MEMORY,
        quantization: Quantization | None = None,
    ) -> None:
        models = [
            name
            for name, value in (("session", session), ("pace", pace), ("model", model))
            if value is not None
        ]
        saved = None if isinstance(session, Session) else session
        if saved is not None and model is None:
            models.remove("session")
        corpora = [
            name
            for name, value in (("session", session), ("corpus", corpus), ("paths", paths))
            if value is not None
        ]
        for given in (models, corpora):
            if len(given) > 1:
                raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them")
        self._given = session if isinstance(session, Session) else None
        self._saved = saved
        self._fresh = 0
        self._pace = pace
        self._options: dict[str, Any] = {
            "model": model,
            "memory": memory,
            "quantization": quantization,
        }
        self._corpus = corpus
        self._paths = paths
        self._lock = threading.Lock()

    @property
    def session(self) -> Session:
        """The session; the first use loads the model and reads the corpus."""
        return self._given or self._ensure()

    async def asession(self) -> Session:
        """The session; a first use loads and reads without blocking the event loop."""
        if self._given is not None:
            return self._given
        return await asyncio.to_thread(self._ensure)

    @property
    def ready(self) -> bool:
        """Whether the session is there: whether using it neither loads nor reads."""
        return self._given is not None

    def take_fresh(self) -> int:
        """Tokens that were read here and not taken account of by an earlier call of this."""
        with self._lock:
            fresh, self._fresh = self._fresh, 0
        return fresh

    @property
    def pace(self) -> Pace:
        """The loaded model."""
        return self.session.pace

    def identity(self) -> dict[str, Any]:
        """What must be equal for two bindings to answer alike, as JSON-ready values."""
        corpus = self.session.corpus
        return {
            **self.session.pace.fingerprint,
            "corpus": corpus.fingerprint if corpus else None,
        }

    def _ensure(self) -> Session:
        with self._lock:
            if self._given is None:
                self._given = self._open(self._saved) if self._saved else self._read()
                self._fresh = self._given.read_cost.read
            return self._given

    def _open(self, path: str | os.PathLike[str]) -> Session:
        pace = self._pace or Pace.load(**_saved_options(Path(path)))
        return pace.open(path)

    def _read(self) -> Session:
        pace = self._pace or Pace.load(**self._options)
        corpus = self._corpus
        if corpus is None and self._paths is not None:
            corpus = Corpus.from_paths(self._paths)
        return self._read_corpus(pace, corpus) if corpus is not None else pace.blank()

    def _read_corpus(self, pace: Pace, corpus: Corpus) -> Session:
        """What reads the corpus; faces that report on it override this."""
        return pace.read(corpus)


_LOADED = ("dtype", "quantization", "overflow", "context", "kv")


def _saved_options(path: Path) -> dict[str, Any]:
    """What loads the model that a session was saved with."""
    fingerprint = manifest.load_manifest(path)["fingerprint"]
    memory = fingerprint.get("memory")
    if memory is not None:
        layers, thresholds = memory.get("layers"), memory.get("thresholds")
        memory["layers"] = tuple(layers) if layers else None
        memory["thresholds"] = tuple(map(tuple, thresholds)) if thresholds else None
        memory = MemoryConfig(**memory)
    name = fingerprint["model"]
    return {
        "model": None if name == EMBEDDED_NAME else name,
        "memory": memory,
        **{name: fingerprint[name] for name in _LOADED if name in fingerprint},
    }
