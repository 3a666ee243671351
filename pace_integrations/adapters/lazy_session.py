"""A session made on first use, from whatever a caller gave, and what is known of it before."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pace_integrations.documents import Corpus
from pace_integrations.documents.discovery import Paths
from pace_integrations.errors import ConfigError
from pace_integrations.model.registry import MODELS, default_model_name
from pace_integrations.store.manifest import load_manifest, read_saved_options

if TYPE_CHECKING:
    from pace_integrations.session import Conversation, Pace, Session

# Where configurations of several families say how many positions they have.
_POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


class LazySession:
    """A session that is loaded and read when it is first used.

    Args:
        session: A session that has read already, or the folder of a saved one; nothing but a
            `pace` to open it with may then be given. Without one, the model that it was saved
            with is loaded.
        pace: A loaded model.
        model: Name or path of a model to load; None with no `pace` takes the default one.
        corpus: What to read.
        paths: Files, folders or globs to read.
        options: Keyword arguments of `Pace.load` for a model that is loaded here.

    Raises:
        ConfigError: More than one model or more than one corpus is given, or an option of loading
            with a model that is loaded.
    """

    def __init__(
        self,
        *,
        session: Session | str | os.PathLike[str] | None = None,
        pace: Pace | None = None,
        model: str | os.PathLike[str] | None = None,
        corpus: Corpus | None = None,
        paths: Paths | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        saved = session if isinstance(session, (str, os.PathLike)) else None
        live = None if isinstance(session, (str, os.PathLike)) else session
        sources = {"session": session, "corpus": corpus, "paths": paths}
        models = {"session": live, "pace": pace, "model": model}
        for group in (models, sources):
            given = [name for name, value in group.items() if value is not None]
            if len(given) > 1:
                raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them")
        if options and (session is not None or pace is not None):
            raise ConfigError(
                f"{', '.join(f'{name}=' for name in options)} would load a model, and there is one "
                f"in {'pace' if session is None else 'session'}=; give it to Pace.load() instead"
            )
        self._given = live
        self._saved = saved
        self._pace = pace
        self._corpus = corpus
        self._paths = paths
        self._options: dict[str, Any] = {"model": model, **(options or {})}
        self._fresh = 0
        self._files: Sequence[Sequence[Any]] | None = None  # as they were when they were read
        self._lock = threading.Lock()

    @property
    def session(self) -> Session:
        """The session; the first use loads the model and reads the corpus."""
        return self._given or self._open_once()

    async def asession(self) -> Session:
        """Return the session; a first use loads and reads without blocking the event loop."""
        if self._given is not None:
            return self._given
        return await asyncio.to_thread(self._open_once)

    @property
    def ready(self) -> bool:
        """True where using the session neither loads nor reads."""
        return self._given is not None

    @property
    def pace(self) -> Pace:
        """The loaded model."""
        return self.session.pace

    @property
    def name(self) -> str:
        """The model's name; nothing is loaded for it."""
        pace = self._given.pace if self._given is not None else self._pace
        if pace is not None:
            return pace.name
        if self._saved is not None:
            return os.fspath(self._saved)
        return os.fspath(self._options["model"] or default_model_name())

    def take_fresh_tokens(self) -> int:
        """Return how many tokens were read here since the last call of this."""
        with self._lock:
            fresh, self._fresh = self._fresh, 0
        return fresh

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for two of these to answer alike, as JSON-ready values."""
        corpus = self.session.corpus
        return {**self.session.pace.fingerprint, "corpus": corpus.fingerprint if corpus else None}

    def describe_documents(self) -> Sequence[Any]:
        """Return what tells apart the contents of the files that are to be read, or were read."""
        return describe_files(self._paths) if self._files is None else self._files

    def find_window(self) -> int | None:
        """Return the tokens left for prompt and answer; None where only reading could tell.

        Before the first use a local model's configuration is looked at, or a saved session's
        manifest; nothing is loaded.
        """
        if self._given is not None:
            return self._given.pace.context_window - self._given.tokens
        if self._saved is not None:
            return _window_of_saved(Path(self._saved), self._options["model"])
        if self._corpus is not None or self._paths is not None:
            return None
        return self.find_model_window()

    def find_model_window(self) -> int | None:
        """Return the model's whole window, documents not counted; None where it is not known."""
        if self._given is not None or self._pace is not None:
            pace = self._given.pace if self._given is not None else self._pace
            return pace.context_window if pace else None
        options = self._options
        return find_configured_window(
            options["model"], options.get("overflow"), options.get("context")
        )

    def _open_once(self) -> Session:
        with self._lock, self._guard():
            if self._given is None:
                self._given = self._open_saved() if self._saved else self._read()
                self._fresh = self._given.read_cost.read
            return self._given

    def _guard(self) -> AbstractContextManager[object]:
        """Return what surrounds loading and reading; integrations put their errors there."""
        return nullcontext()

    def _open_saved(self) -> Session:
        assert self._saved is not None
        given = self._options["model"]
        pace = self._pace or _load(**_trust_saved_options(Path(self._saved), given))
        return pace.open(self._saved)

    def _read(self) -> Session:
        pace = self._pace or _load(**self._options)
        corpus = self._corpus
        if corpus is None and self._paths is not None:
            self._files = describe_files(self._paths)
            corpus = Corpus.from_paths(self._paths)
        return self._read_corpus(pace, corpus) if corpus is not None else pace.blank()

    def _read_corpus(self, pace: Pace, corpus: Corpus) -> Session:
        """Read the corpus; integrations that report on it override this."""
        return pace.read(corpus)

    @classmethod
    def wrap(cls, asked: Session | Conversation) -> LazySession:
        """Return one whose session, or conversation, is there already."""
        made = cls()
        made._given = asked  # type: ignore[assignment]  # what a component uses, both have
        return made


def is_session(value: object) -> bool:
    """Return whether a value is a session, without importing what sessions are made of."""
    return _is_a(value, "pace_integrations.session", "Session")


def is_pace(value: object) -> bool:
    """Return whether a value is a loaded model."""
    return _is_a(value, "pace_integrations.session", "Pace")


def _is_a(value: object, module: str, name: str) -> bool:
    # Where a value is one of these, its module has been imported.
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def find_configured_window(
    model: str | os.PathLike[str] | None, overflow: str | None, context: int | None
) -> int | None:
    """Return the context of a model whose configuration lies on this machine, or None.

    Args:
        model: As for `Pace.load`.
        overflow: As for `Pace.load`; None is its default.
        context: As for `Pace.load`.
    """
    name = default_model_name() if model is None else os.fspath(model)
    own = _read_positions(str(MODELS[name].checkpoint) if name in MODELS else name)
    if overflow == "yarn":
        return context or (own and 4 * own)
    return min(own, context) if own and context else own or context


@lru_cache
def _read_positions(model: str) -> int | None:
    file: str | None = os.path.join(model, "config.json")  # noqa: PTH118 - a Hub's name is no path
    if not os.path.isfile(str(file)):  # noqa: PTH113
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "config.json") if model.count("/") <= 1 else None
        file = found if isinstance(found, str) else None
    try:
        config = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError):
        return None
    text = config.get("text_config") or config
    window = next((text[name] for name in _POSITIONS if text.get(name)), None)
    return int(window) if window else None


def _load(**options: Any) -> Pace:  # noqa: ANN401 - those of Pace.load
    from pace_integrations.session import Pace

    return Pace.load(**options)


def _window_of_saved(path: Path, model: str | os.PathLike[str] | None) -> int | None:
    options = read_saved_options(path)
    window = find_configured_window(
        model or options["model"], options.get("overflow"), options.get("context")
    )
    return window and window - int(load_manifest(path)["tokens"])


def _trust_saved_options(path: Path, model: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return what loads the model that a session was saved with.

    Raises:
        ConfigError: It is not one of this package's, and the caller does not say so: who wrote a
            folder must not decide what is loaded.
    """
    options = read_saved_options(path)
    name = options["model"]
    if model is None and name not in MODELS:
        raise ConfigError(
            f"the session in {str(path)!r} was read by {name!r}; say that it may be loaded, with "
            f"model={name!r}, or give a loaded one as pace="
        )
    return {**options, "model": name if model is None else model}


def describe_files(paths: Paths | None) -> Sequence[Sequence[Any]]:
    """Return files by name, size and time of change: another content is another identity."""
    from pace_integrations.documents.discovery import expand_paths

    if paths is None:
        return ()
    found = ((path, path.stat()) for path in expand_paths(paths))
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in found]
