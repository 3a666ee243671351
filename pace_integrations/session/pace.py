"""The entry point: a loaded model with its memory, which reads corpora."""

from __future__ import annotations

import importlib
import logging
import os
import weakref
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn, Self

import torch

from pace_integrations._checks import check_choice, check_instance, check_path
from pace_integrations.config import (
    ExpertConfig,
    KvDtype,
    MemoryConfig,
    Overflow,
    Quantization,
    ReadConfig,
)
from pace_integrations.documents import Corpus
from pace_integrations.errors import PaceError, SessionFileError
from pace_integrations.memory import MemoryPatch
from pace_integrations.model.engine import Engine
from pace_integrations.model.expert_checkpoint import divide_into_experts
from pace_integrations.model.loading import LoadedModel, LoadSettings, load_model
from pace_integrations.session.arguments import check_load_arguments, check_read_arguments
from pace_integrations.session.diagnostics.inspection import Inspection
from pace_integrations.session.read_job import Progress, ReadJob
from pace_integrations.session.remote import RemoteDoor
from pace_integrations.session.resume import SessionFolder
from pace_integrations.session.session import Session
from pace_integrations.session.state import ReadCost, ReadState
from pace_integrations.store.manifest import Verify
from pace_integrations.store.store import Sessions

_READ = ReadConfig()
_log = logging.getLogger(__name__)


class Pace(Inspection, RemoteDoor):
    """A loaded language model, with the activation memory where asked. Made by `Pace.load`.

    Usable as a context manager; leaving it ends the model's thread.

    Attributes:
        memory: Settings of the memory, or None where it is off.
        experts: How the neurons are divided into experts, or None where they are not.
        sessions: The store that `read` keeps sessions in when it is asked to; another one may be
            put in its place.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        memory: MemoryConfig | None = None,
        experts: ExpertConfig | None = None,
    ) -> None:
        patch = MemoryPatch(loaded.model, memory) if memory else None
        self._engine = engine = Engine(loaded, patch)
        self.experts = experts
        self.memory = memory
        self.sessions = Sessions()
        # The thread ends with its model, also when nobody calls close().
        self._finalizer = weakref.finalize(self, engine.close)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        adapter: str | os.PathLike[str] | None = None,
        memory: MemoryConfig | None = None,
        experts: ExpertConfig | None = None,
        dtype: str | torch.dtype = "auto",
        device: str | None = None,
        quantization: Quantization | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        overflow: Overflow = "error",
        context: int | None = None,
        kv: KvDtype = "full",
        ahn: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Load a model.

        Args:
            model: Name on the Hugging Face Hub, ``"pace-small"``, ``"pace-nano"``, path of a
                checkpoint or GGUF file. None is pace-small where its weights are on this machine
                (``pace models get small``), else pace-nano, a demonstration.
            adapter: Adapter in PEFT's format, a folder or a name on the Hub, merged at load.
            memory: Settings of the activation memory, such as ``MemoryConfig()``; None: without.
            experts: How to divide the neurons into experts, which takes a while the first time;
                None leaves them as they are. The order alone changes no answer.
            dtype: ``"auto"`` is bfloat16 on CPUs that compute in it, for models above 50M
                parameters, float32 on CPUs otherwise, and elsewhere the checkpoint's own.
            device: Where it runs; None takes a GPU when there is one, ``"auto"`` spreads it.
            quantization: ``"int8"`` or, on CPUs alone, ``"int4"``; ``"nf4"`` by bitsandbytes, as
                ``"int8"`` on other devices; None is the checkpoint's own precision.
            revision: Commit, branch or tag on the Hub.
            trust_remote_code: Whether code that the checkpoint carries may run.
            overflow: For more tokens than the context holds: ``"error"`` refuses them; ``"yarn"``
                stretches the rotary positions; ``"window"`` is attention sinks plus a sliding
                window (StreamingLLM): evicted tokens survive only in memory banks; ``"ahn"``
                has them in a state of constant size, by networks that `ahn` names.
            context: Most tokens held at once; None is the model's own, with ``"yarn"`` four times
                as many.
            kv: ``"int8"`` keeps the KV cache in eight bits: a quarter of float32's memory, half of
                bfloat16's, slower to answer; not in a window.
            ahn: Networks for ``overflow="ahn"``, trained for this model (arXiv 2510.07318): a
                folder or a name on the Hub. They keep the gist, no exact words.

        Raises:
            ModelLoadError: There is no such model or adapter, or its files cannot be used.
            ConfigError: The model cannot be stretched, or read in a window.
            ModelPatchError: The memory has no place in this model, or its neurons cannot be moved.
            MissingExtraError: What was asked for needs an extra, such as ``quant`` or ``gguf``.
        """
        check_load_arguments(locals())
        held = (overflow, context, kv, ahn)
        settings = LoadSettings(
            adapter, dtype, device, quantization, revision, trust_remote_code, *held
        )
        loaded = load_model(model, settings)
        if experts is not None:
            loaded, _ = divide_into_experts(loaded, experts)
        return cls(loaded, memory, experts)

    @property
    def name(self) -> str:
        """The name or path the model was asked for by."""
        return self._engine.loaded.name

    @property
    def context_window(self) -> int:
        """Most tokens of corpus, question and answer together."""
        return self._engine.loaded.context_window

    @property
    def knows_tools(self) -> bool:
        """True where the chat template has a place for tools: such models are trained on them."""
        template = self._engine.loaded.tokenizer.chat_template
        return "tools" in (template if isinstance(template, str) else str(template or ""))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Values that two of these must share to give the same answers, JSON-ready."""
        memory = asdict(self.memory) if self.memory else None
        layout = self._engine.prompts.hash_layout()
        return {**self._engine.loaded.identity_facts(), "memory": memory, "prompt": layout}

    def token_ids(self, text: str) -> list[int]:
        """Return token ids of a text, control tokens it spells taken as text."""
        return self._engine.prompts.encode_text(text)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self.token_ids(text))

    def blank(self) -> Session:
        """Return a session that has read nothing: plain conversation."""
        return Session(self, self._engine, ReadState(self._engine.new_context()))

    def read(
        self,
        corpus: Corpus,
        *,
        progress: bool | Progress = False,
        config: ReadConfig = _READ,
        path: str | os.PathLike[str] | None = None,
        store: bool = False,
        namespace: str | None = None,
    ) -> Session:
        """Read a corpus once, so that any number of questions can be asked of it.

        With `path` or `store`, what has been read is kept on disk, also when the reading is
        interrupted: the next one goes on after the last document that was kept. What it took is
        in the session's `read_cost`.

        Args:
            corpus: What to read.
            progress: True draws a bar; a function is called with tokens done and in all, in
                the calling thread. Interrupting it stops the reading after the current chunk.
            config: How to read.
            path: Folder to keep the session in; what it holds of this corpus is not read again.
            store: Keep it in `sessions`, where the same corpus is found again.
            namespace: Whose session it is: it is found and opened under this name only. Take it
                from the person who asks, never from a document.

        Raises:
            DocumentError: There is nothing in the corpus.
            ContextOverflowError: It does not fit the model's context.
            SessionFileError: The folder or the store cannot be written.
            IncompatibleSessionError: `path` holds another model's or namespace's session.
        """
        check_read_arguments(locals())
        if path is not None:
            state, cost = self._open_folder(path, namespace).read(corpus, config, progress)
        elif store:
            state, cost = self._read_stored(corpus, config, progress, namespace)
        else:
            reading = ReadJob(self._engine, ReadState(self._engine.new_context()), corpus, config)
            state, cost = reading.run(progress), reading.read_cost
        return Session(self, self._engine, state, config, namespace=namespace, read_cost=cost)

    def open(
        self,
        path: str | os.PathLike[str],
        *,
        verify: Verify = "full",
        namespace: str | None = None,
        config: ReadConfig = _READ,
    ) -> Session:
        """Open a saved session; nothing is read again.

        Args:
            path: The session's folder.
            verify: ``"full"`` hashes every file; ``"fast"`` trusts tensors of the right size.
            namespace: Whose session it is; another one's is refused.
            config: How what is added later is read.

        Raises:
            SessionFileError: There is no session, or it is damaged or of another format.
            IncompatibleSessionError: Another model, precision, memory or namespace read it; the
                message names what differs.
        """
        check_path(path, "path")
        check_choice(verify, ("full", "fast"), "verify")
        check_instance(config, ReadConfig, "config")
        state = self._open_folder(path, namespace).open(verify=verify)
        cost = ReadCost(read=0, kept=state.tokens)
        return Session(self, self._engine, state, config, namespace=namespace, read_cost=cost)

    @property
    def engine(self) -> Engine:
        """The model at work, for what is built upon this package."""
        return self._engine

    def library(
        self,
        folder: str | os.PathLike[str],
        **options: Any,  # noqa: ANN401 - fields of LibraryConfig
    ) -> Any:  # noqa: ANN401 - a Library, of a package that builds upon this one
        """Open a library, or begin one: documents of any number, each page read once.

        Args:
            folder: Its folder, or an address that several machines reach, such as
                ``s3://bucket/reports``; it is made with the first document.
            **options: Fields of `LibraryConfig`, as in `Library.open`.

        Raises:
            LibraryFileError: The folder holds something else, or a damaged library.
            ConfigError: The model's pages cannot be kept as asked.
        """
        # A name at run time: modules import downwards, and a library builds upon sessions.
        return importlib.import_module("pace_integrations.library").Library.open(
            folder, self, **options
        )

    def _open_folder(self, path: str | os.PathLike[str], namespace: str | None) -> SessionFolder:
        return SessionFolder(self._engine, self.fingerprint, Path(path), namespace)

    def _read_stored(
        self, corpus: Corpus, config: ReadConfig, progress: bool | Progress, namespace: str | None
    ) -> tuple[ReadState, ReadCost]:
        place = self.sessions.path(self.fingerprint, corpus, namespace)
        lease = self.sessions.use(place)
        if (shared := self.sessions.shared) is not None:
            shared.fetch(place, self.fingerprint, namespace)
        keeper = self._open_folder(place, namespace)
        # A store is a help: what has been read is not lost when it cannot be kept.
        state, cost = keeper.read(corpus, config, progress, must=False)
        if shared is not None:
            shared.share(place)
        try:
            self.sessions.prune()
        except SessionFileError as error:
            _log.warning("the store of sessions stays above its budget: %s", error)
        return replace(state, lease=lease), cost

    def close(self) -> None:
        """End the model's thread; what is running fails with an error."""
        self._finalizer()

    def __reduce__(self) -> NoReturn:
        raise PaceError(
            "a loaded model cannot be pickled or copied; load it in the other process, with "
            "Pace.load()"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
