"""A library: documents of any number and length, each page read once, asked like one session."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig
from pace_integrations.documents import ReadOptions
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.library.ask_settings import AskSettings
from pace_integrations.library.changes import LibraryChange
from pace_integrations.library.choice import Budget, Choice
from pace_integrations.library.config import LibraryConfig, SelectorMaker
from pace_integrations.library.holdings import Holdings
from pace_integrations.library.place import LibraryPlace, find_place
from pace_integrations.library.turn import AskOptions, LibraryTurn, Question
from pace_integrations.library.watching import watch_folder
from pace_integrations.model.deadlines import Deadline
from pace_integrations.model.engine import Engine
from pace_integrations.session.pace import Pace
from pace_integrations.session.read_job import Progress
from pace_integrations.session.streams import AnswerStream, AsyncAnswerStream

_SHARE = 4  # of the context that chosen passages may take in one prompt: one in so many tokens


class Library(Holdings):
    """Documents on disk, each page read once by a model, ready for any number of questions.

    Made by `Library.open` or `Pace.library`. Its text, page numbers and index are kept for good;
    what the model holds of each page is a cache, shared by processes, of which the least used goes
    first. Any number of threads may ask it, and any number of processes change it.

    Attributes:
        pace: The model that reads it.
    """

    def __init__(
        self, pace: Pace, engine: Engine, place: LibraryPlace, config: LibraryConfig
    ) -> None:
        super().__init__(engine, place, config)
        self.pace = pace

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        pace: Pace,
        *,
        config: LibraryConfig | None = None,
        **options: Any,  # noqa: ANN401 - fields of LibraryConfig
    ) -> Self:
        """Open a library, or begin one.

        Args:
            folder: Its folder, or an address that several machines reach, such as
                ``s3://bucket/reports``; it is made with the first document.
            pace: The model that reads it.
            config: How it is read and kept.
            **options: Fields of `LibraryConfig`, instead of `config`.

        Raises:
            LibraryFileError: The folder holds something else, or a damaged library.
            ConfigError: The model's pages cannot be kept as asked.
        """
        if config is not None and options:
            raise ConfigError("give config= or its fields, and not both")
        made = config or LibraryConfig(**options)
        return cls(pace, pace.engine, find_place(folder), made)

    def ask(self, question: Question, *, timeout: float | None = None, **options: Any) -> Answer:  # noqa: ANN401
        """Answer a question from the pages that fit it best.

        Args:
            question: The question, or a conversation that ends with one.
            timeout: Seconds the whole answer may take; None waits for as long as it takes.
            **options: Fields of `AskSettings`, such as ``strategy`` or ``on_unsupported``.

        Raises:
            QuestionError: The question is empty or the conversation malformed.
            DocumentError: The library is empty.
            DeadlineExceededError: The time is over.
        """
        with self.stream(question, timeout=timeout, **options) as stream:
            return stream.answer

    def stream(
        self,
        question: Question,
        *,
        timeout: float | None = None,
        **options: Any,  # noqa: ANN401 - fields of AskSettings
    ) -> AnswerStream:
        """Answer a question piece by piece; asked one by one, the answer comes in one piece.

        Args:
            question: The question, or a conversation that ends with one.
            timeout: Seconds the whole answer may take.
            **options: Fields of `AskSettings`, such as ``strategy`` or ``on_unsupported``.

        Raises:
            QuestionError: The question is empty or the conversation malformed.
            DocumentError: The library is empty.
            ConfigError: An option is of no known kind, or the model's support was not measured.
        """
        turn = self._make_turn(question, **options)
        pieces = self._engine.thread.stream(turn.run(), Deadline(timeout))
        return AnswerStream(pieces, turn.finish)

    async def aask(
        self,
        question: Question,
        *,
        timeout: float | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Answer:
        """Answer a question without blocking the event loop; see `stream` for the options."""
        async with self.astream(question, timeout=timeout, **options) as stream:
            return await stream.drain()

    def astream(
        self,
        question: Question,
        *,
        timeout: float | None = None,
        **options: Any,  # noqa: ANN401
    ) -> AsyncAnswerStream:
        """Answer a question piece by piece without blocking the event loop; see `stream`."""
        turn = self._make_turn(question, **options)
        pieces = self._engine.thread.astream(turn.run(), Deadline(timeout))
        return AsyncAnswerStream(pieces, turn.finish)

    async def start_stream(
        self,
        question: Question,
        *,
        timeout: float | None = None,
        **options: Any,  # noqa: ANN401
    ) -> AsyncAnswerStream:
        """Return `astream` with the index and the question made ready off the event loop."""
        turn = await asyncio.to_thread(self._make_turn, question, **options)
        pieces = self._engine.thread.astream(turn.run(), Deadline(timeout))
        return AsyncAnswerStream(pieces, turn.finish)

    def ask_many(
        self,
        questions: Sequence[Question],
        *,
        timeout: float | None = None,
        **options: Any,  # noqa: ANN401
    ) -> list[Answer]:
        """Answer several questions, each as if it were asked alone.

        Args:
            questions: The questions, as for `ask`.
            timeout: Seconds that all answers together may take.
            **options: As for `stream`.

        Raises:
            QuestionError: A question is empty or malformed; none is then answered.
            DeadlineExceededError: The time is over.
        """
        turns = [self._make_turn(question, **options) for question in questions]
        deadline = Deadline(timeout)
        streams = [
            AnswerStream(self._engine.thread.stream(turn.run(), deadline), turn.finish)
            for turn in turns
        ]
        return [stream.answer for stream in streams]

    def watch(
        self,
        folder: str | os.PathLike[str],
        *,
        interval: float = 2.0,
        options: ReadOptions | None = None,
        progress: bool | Progress = False,
        read: bool = True,
        stop: threading.Event | None = None,
    ) -> Iterator[LibraryChange]:
        """Follow a folder: do what `sync` does at once, and whenever its files have changed.

        Args:
            folder: The folder.
            interval: Seconds between two looks at the sizes and times of its files. A file that
                changes from one look to the next is still being written, and waited for.
            options: How files are found and read.
            progress: As in `add`.
            read: As in `add`.
            stop: Ends it when set; so does closing the iterator.

        Yields:
            Each change that was made, and the first one whatever it is.

        Raises:
            DocumentError: There is no such folder. One that vanishes later is waited for.
            ConfigError: The interval is not above 0.
        """
        if not interval > 0:
            raise ConfigError(f"interval must be above 0 seconds, got {interval}")
        given, place = options or ReadOptions(), Path(folder).expanduser()

        def sync() -> LibraryChange:
            return self.sync(place, options=given, progress=progress, read=read)

        return watch_folder(sync, place, given, interval=interval, stop=stop or threading.Event())

    def find_pages(
        self, question: str, *, count: int = 4, selector: str | SelectorMaker | None = None
    ) -> Choice:
        """Return the passages that fit a question best, without answering it.

        Args:
            question: The question.
            count: Most passages.
            selector: What chooses them instead of the library's own selector.
        """
        if not self._view().blocks:
            return Choice(())
        chosen = self._find_selector(selector)
        budget = Budget(2**31, count)
        # The question is read by the model, which works on its own thread.
        return next(self._engine.thread.stream(chosen.select(q, budget) for q in [question]))

    def _make_turn(self, question: Question, **options: Any) -> LibraryTurn:  # noqa: ANN401
        asked = AskSettings(**options)
        if asked.on_unsupported == "refuse" and not self.profile.measures:
            raise ConfigError(
                f"on_unsupported='refuse' needs to know how well the pages must support an answer, "
                f"and for {self.pace.name!r} nobody has measured that; take 'show', or give a "
                "profile with a threshold"
            )
        # What is read for a question alone is read once.
        whole = asked.strategy == "auto" and self.attention == "full"
        settings = AskOptions(
            "together" if whole else asked.strategy,
            asked.budget or max(1, self.pace.context_window // _SHARE),
            asked.passages,
            asked.on_unsupported,
            asked.generation or GenerationConfig(),
            self.exact,
            self.profile,
            asked.search,
        )
        if not self._view().blocks:
            raise DocumentError(
                f"the library in {str(self.folder)!r} is empty; add documents first"
            )
        return LibraryTurn(self._reader, self._find_selector(asked.selector), question, settings)
