"""From what a command was given to open documents, a loaded model and a session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pace_integrations.cli.options import ModelOptions, ReadingOptions
from pace_integrations.cli.output import Output
from pace_integrations.documents import Corpus, NothingReadError, ReadOptions
from pace_integrations.errors import SessionFileError
from pace_integrations.model.registry import explain_default

if TYPE_CHECKING:
    from pace_integrations.session import Pace, Session


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
    corpus = open_corpus(paths, output, files)
    output.show_report(corpus.report)
    store = reading.store
    if store is None:
        locked = [file.path for file in corpus.report.files if file.encrypted]
        store = not locked
        if locked:
            output.show_notes([f"{locked[0]} needed a password: nothing is kept without --store"])
    pace = load_model(output, model, **settings)
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


def show_loading(
    model: str | None, output: Output, what: str = "loading"
) -> AbstractContextManager[object]:
    """Show that a model is being loaded, and how to get a better one than the default is here."""
    if model is None and (line := explain_default()):
        output.show_notes([line])
    return output.show_status(f"{what} {model or 'the default model'}")
