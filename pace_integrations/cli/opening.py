"""From what a command was given to open documents, a loaded model and a session."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from pace_integrations._files import make_cache_folder
from pace_integrations._paths import cache_folder
from pace_integrations.cli.options import ModelOptions, OnUnsupported, ReadingOptions
from pace_integrations.cli.output import Output
from pace_integrations.documents import Corpus, NothingReadError, ReadOptions
from pace_integrations.documents.discovery import check_path
from pace_integrations.errors import ContextOverflowError, PaceError, SessionFileError
from pace_integrations.library.maintenance import is_library
from pace_integrations.model.registry import explain_default

if TYPE_CHECKING:
    from pace_integrations.config import GenerationConfig, ReadConfig
    from pace_integrations.library import Library
    from pace_integrations.model.prompts import Message
    from pace_integrations.session import AnswerStream, Pace, Session


def open_corpus(
    paths: Sequence[Path],
    output: Output,
    options: ReadOptions | None = None,
    *,
    quiet: bool = False,
) -> Corpus:
    """Open documents, showing how far that is, and the report where none can be read.

    Args:
        paths: Files, folders and globs.
        output: Where that is shown.
        options: How to open them.
        quiet: Leave the report to the caller.

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


def load_model(output: Output, options: ModelOptions, **settings: Any) -> Pace:  # noqa: ANN401
    """Load a model, showing that it goes on.

    Args:
        output: Where that is shown.
        options: Which model.
        **settings: Further arguments of `Pace.load`.

    Raises:
        PaceError: It cannot be loaded.
    """
    # Imports PyTorch: after everything that can be refused without it.
    from pace_integrations.session import Pace

    with show_loading(options.model, output):
        return Pace.load(**asdict(options), **settings)


def check_options(
    paths: Sequence[Path],
    output: Output,
    model: ModelOptions,
    **settings: Any,  # noqa: ANN401
) -> None:
    """Refuse what can be refused before a file is read: paths first, since that is quick.

    Args:
        paths: Files, folders and globs.
        output: Where it is shown that this goes on.
        model: Which model.
        **settings: Further arguments of `Pace.load`.

    Raises:
        PaceError: A path leads nowhere, or the model cannot be loaded as asked.
    """
    for path in paths:
        check_path(path)
    with output.show_status("checking the options"):
        # Imports PyTorch.
        from pace_integrations.model.load_checks import check_request
        from pace_integrations.model.loading import LoadSettings

        request = {**asdict(model), **settings}
        name = request.pop("model")
        known = {field.name for field in fields(LoadSettings)}
        check_request(name, LoadSettings(**{k: v for k, v in request.items() if k in known}))


def read_documents(
    paths: Sequence[Path],
    output: Output,
    *,
    model: ModelOptions,
    reading: ReadingOptions,
    files: ReadOptions | None = None,
    **settings: Any,  # noqa: ANN401 - arguments of Pace.load
) -> Session:
    """Open documents, load a model and have it read them; problems of single files are shown.

    Raises:
        PaceError: Nothing could be read, loaded or held.
    """
    config = reading.make_config()
    check_options(paths, output, model, **settings)
    corpus, store = _open_for_reading(paths, output, reading, files)
    return _read_corpus(load_model(output, model, **settings), corpus, output, config, store)


def _open_for_reading(
    paths: Sequence[Path], output: Output, reading: ReadingOptions, files: ReadOptions | None
) -> tuple[Corpus, bool]:
    """Open documents; returns them, and whether what is read of them may be kept on disk."""
    corpus = open_corpus(paths, output, files)
    output.show_report(corpus.report)
    keeps = reading.may_store(corpus)
    if reading.store is None and not keeps:
        locked = next(file.path for file in corpus.report.files if file.encrypted)
        output.show_notes([f"{locked} needed a password: nothing is kept without --store"])
    return corpus, keeps


def _read_corpus(
    pace: Pace, corpus: Corpus, output: Output, config: ReadConfig, store: bool
) -> Session:
    try:
        with output.track_progress("reading", "tokens") as show:
            session = pace.read(corpus, progress=show, config=config, store=store)
    except SessionFileError as error:  # the store is a help, not a condition
        output.show_notes([f"nothing is kept: {error}"])
        with output.track_progress("reading", "tokens") as show:
            return pace.read(corpus, progress=show, config=config)
    if kept := session.read_cost.kept:
        output.show_details([f"{kept} tokens were read earlier (see pace sessions list)"])
    return session


class ShelvedDocuments:
    """Documents that do not fit a context, asked as a library.

    Args:
        library: The library.
        corpus: The documents with the report of how they were opened.
        folder: A folder that is removed with this, or None.
        unsupported: What happens to an answer that the pages do not support.
    """

    def __init__(
        self,
        library: Library,
        corpus: Corpus | None,
        folder: str | None = None,
        unsupported: OnUnsupported = "show",
    ) -> None:
        self._library = library
        self._unsupported = unsupported
        if folder is not None:
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.corpus = corpus

    def stream(
        self, question: str | Sequence[Message], *, generation: GenerationConfig
    ) -> AnswerStream:
        """Answer a question from the pages that fit it best."""
        return self._library.stream(
            question, generation=generation, on_unsupported=self._unsupported
        )

    def fork(self) -> ShelvedConversation:
        """Return a conversation, whose questions see the turns before them."""
        return ShelvedConversation(self)


class ShelvedConversation:
    """A conversation with a library.

    Args:
        documents: What is asked; a folder of its own lasts as long as this does.
    """

    def __init__(self, documents: ShelvedDocuments) -> None:
        self._documents = documents
        self._turns: list[Message] = []
        self._asked: tuple[list[Message], AnswerStream] | None = None

    @property
    def corpus(self) -> Corpus | None:
        """The documents."""
        return self._documents.corpus

    def reset(self) -> None:
        """Forget the turns."""
        self._turns, self._asked = [], None

    def stream(self, question: str, *, generation: GenerationConfig) -> AnswerStream:
        """Answer a question from the pages that fit it best."""
        self._take_turn()
        asked: list[Message] = [*self._turns, {"role": "user", "content": question}]
        stream = self._documents.stream(asked, generation=generation)
        self._asked = asked, stream
        return stream

    def _take_turn(self) -> None:
        """Make a turn of the last answer, unless it was stopped."""
        if self._asked is not None:
            asked, stream = self._asked
            with contextlib.suppress(PaceError):
                self._turns = [*asked, {"role": "assistant", "content": stream.answer.text}]


def open_documents(
    paths: Sequence[Path],
    output: Output,
    *,
    model: ModelOptions,
    reading: ReadingOptions,
    files: ReadOptions | None = None,
    unsupported: OnUnsupported = "show",
    **settings: Any,  # noqa: ANN401 - arguments of Pace.load
) -> Session | ShelvedDocuments:
    """Read documents as `read_documents` does, or as a library where they do not fit the context.

    A path that is a library itself is asked as it is, and so is what is to be refused where the
    pages do not support it: that is known of passages read by themselves.

    Raises:
        PaceError: Nothing could be read, loaded or held.
    """
    if len(paths) == 1 and is_library(paths[0]):
        library = load_model(output, model, **settings).library(paths[0])
        return ShelvedDocuments(library, library.corpus, None, unsupported)
    config = reading.make_config()
    check_options(paths, output, model, **settings)
    corpus, store = _open_for_reading(paths, output, reading, files)
    pace = load_model(output, model, **settings)
    if unsupported == "refuse":
        return _shelve_corpus(pace, corpus, paths, output, "--on-unsupported", store, unsupported)
    try:
        return _read_corpus(pace, corpus, output, config, store)
    except ContextOverflowError as error:
        if settings.get("overflow", "error") != "error":
            raise
        why = f"the documents need {error.needed} tokens and {error.limit} fit"
        return _shelve_corpus(pace, corpus, paths, output, why, store, unsupported)


def _shelve_corpus(
    pace: Pace,
    corpus: Corpus,
    paths: Sequence[Path],
    output: Output,
    why: str,
    store: bool,
    unsupported: OnUnsupported,
) -> ShelvedDocuments:
    """Read documents into a library of their own; kept, it is found again by their paths."""
    temporary = None if store else mkdtemp(prefix="pace-")
    if temporary is not None:
        place = Path(temporary) / "library"
    else:
        names = "\n".join(sorted(str(path.resolve()) for path in paths))
        make_cache_folder(cache_folder("pages"))
        place = cache_folder("pages") / hashlib.sha256(names.encode()).hexdigest()[:32]
    library: Library = pace.library(place)
    how = "page by page" if library.attention == "pages" else "pages chosen for each question"
    output.show_notes([f"{why}: asked as a library, {how}"])
    with output.track_progress("reading", "tokens") as show:
        library.set_documents(corpus, progress=show)
    return ShelvedDocuments(library, corpus, temporary, unsupported)


def show_loading(
    model: str | None, output: Output, what: str = "loading"
) -> AbstractContextManager[object]:
    """Show that a model is being loaded, and how to get a better one than the default is here."""
    if model is None and (line := explain_default()):
        output.show_details([line])
    return output.show_status(f"{what} {model or 'the default model'}")
