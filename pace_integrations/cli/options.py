"""What the commands' options mean."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pace_integrations.cli.output import Output
from pace_integrations.config import GenerationConfig, MemoryConfig, ReadConfig
from pace_integrations.documents import Corpus, NothingReadError, ReadOptions
from pace_integrations.errors import SessionFileError

if TYPE_CHECKING:
    from pace_integrations.session import Pace, Session


class Quantization(StrEnum):
    """Words of ``--quantization``."""

    int8 = "int8"
    nf4 = "nf4"


class Overflow(StrEnum):
    """Words of ``--overflow``."""

    error = "error"
    yarn = "yarn"
    window = "window"


class Held(StrEnum):
    """Words of ``--kv``."""

    full = "full"
    int8 = "int8"


@dataclass(frozen=True, slots=True)
class Options:
    """Options shared by all commands that read and answer."""

    model: str | None = None
    quantization: Quantization | None = None
    memory: bool = True
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    chunk: int = 1024
    dtype: str = "auto"
    device: str | None = None
    rule: str | None = None
    store: bool = False
    overflow: Overflow = Overflow.error
    context: int | None = None
    kv: Held = Held.full
    files: ReadOptions = field(default_factory=ReadOptions)

    def generation(self) -> GenerationConfig:
        """How answers are written.

        Raises:
            ConfigError: An option is outside its range.
        """
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens, temperature=self.temperature, seed=self.seed
        )

    def read(self, paths: Sequence[Path], output: Output) -> Session:
        """Loads the model and reads the documents; problems of single files are shown.

        Raises:
            PaceError: Nothing could be read, loaded or held.
        """
        self.generation()
        ReadConfig(chunk=self.chunk)
        corpus = open_corpus(paths, output, self.files)
        output.show_report(corpus.report)
        return self._read(self.load(output), corpus, output)

    def load(self, output: Output) -> Pace:
        """Loads the model.

        Raises:
            PaceError: It cannot be loaded.
        """
        # Imports PyTorch: after everything that can be refused without it.
        from pace_integrations.session import Pace

        with show_loading(self.model, output):
            return Pace.load(
                self.model,
                memory=self._memory(),
                quantization=self.quantization.value if self.quantization else None,
                dtype=self.dtype,
                device=self.device,
                overflow=self.overflow.value,
                kv=self.kv.value,
                context=self.context,
            )

    def _read(self, pace: Pace, corpus: Corpus, output: Output) -> Session:
        config = ReadConfig(chunk=self.chunk)
        if self.store:
            try:
                with output.track_progress("reading", "tokens") as show:
                    session = pace.read(corpus, progress=show, config=config, store=True)
            except SessionFileError as error:  # the store is a help, not a condition
                output.show_notes([f"nothing is kept: {error}"])
            else:
                if kept := session.read_cost.kept:
                    output.show_notes([f"{kept} tokens were read earlier (see pace sessions list)"])
                return session
        with output.track_progress("reading", "tokens") as show:
            return pace.read(corpus, progress=show, config=config)

    def _memory(self) -> MemoryConfig | None:
        if not self.memory:
            return None
        return MemoryConfig(rule=self.rule) if self.rule else MemoryConfig()


def show_loading(
    model: str | None, output: Output, what: str = "loading"
) -> AbstractContextManager[object]:
    """Shows that a model is being loaded."""
    from transformers.utils.logging import disable_progress_bar

    if model is None or Path(model).exists():
        disable_progress_bar()  # a download keeps its bars, a local file needs none
    return output.show_status(f"{what} {model or 'the embedded model'}")


def open_corpus(
    paths: Sequence[Path],
    output: Output,
    options: ReadOptions | None = None,
    *,
    quiet: bool = False,
) -> Corpus:
    """Opens documents, showing how far that is, and the report where none can be read.

    Raises:
        DocumentError: Nothing could be read.
    """
    try:
        with output.track_files() as show:
            return Corpus.from_paths(paths, options=options, watch=show)
    except NothingReadError as error:
        if not quiet:
            output.show_report(error.report)
        raise
