"""A corpus that has been read: any number of questions can be asked of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pace_integrations._checks import check_count, check_instance, check_path
from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig, ReadConfig
from pace_integrations.documents import Corpus
from pace_integrations.errors import DocumentError, QuestionError
from pace_integrations.model.batch import always
from pace_integrations.model.deadlines import Deadline
from pace_integrations.model.engine import Engine
from pace_integrations.session.arguments import check_corpus, check_generation
from pace_integrations.session.base import (
    PendingAnswer,
    Question,
    SessionBase,
)
from pace_integrations.session.conversation import Conversation
from pace_integrations.session.diagnostics.memory_plots import plot_memory
from pace_integrations.session.diagnostics.memory_report import MemoryReport, build_memory_report
from pace_integrations.session.read_job import Progress, ReadJob
from pace_integrations.session.resume import SessionFolder
from pace_integrations.session.state import (
    ReadCost,
    ReadState,
    get_memory,
    number_passages,
    replace_documents,
)
from pace_integrations.session.streams import AnswerBuilder, require_answer

if TYPE_CHECKING:
    from pace_integrations.session.pace import Pace

_READ = ReadConfig()


class Session(SessionBase):
    """What a model has read, ready for questions. Made by `Pace.read` or `Pace.blank`.

    Asking leaves no trace: the cache is forked and the memory banks are read, not written, so
    any number of questions in any order, from any thread, get the answers they would get alone.

    Attributes:
        pace: The model that read it.
        namespace: Whose it is, or None; saved, it opens under no other.
        read_cost: Tokens that were read to make it, and tokens that were found on disk.
    """

    def __init__(
        self,
        pace: Pace,
        engine: Engine,
        state: ReadState,
        config: ReadConfig = _READ,
        *,
        namespace: str | None = None,
        read_cost: ReadCost | None = None,
    ) -> None:
        super().__init__(pace, engine, state, config)
        self.namespace = namespace
        self.read_cost = read_cost or ReadCost(read=0, kept=0)
        self._changing = threading.Lock()

    @property
    def change(self) -> ReadCost:
        """Return `read_cost`, under its name of version 0.1."""
        return self.read_cost

    def ask_many(
        self,
        questions: Sequence[Question],
        *,
        generation: GenerationConfig | None = None,
        batch: int = 16,
        timeout: float | None = None,
        is_wanted: Callable[[int], bool] = always,
    ) -> list[Answer]:
        """Answers several questions together, each as if it were asked alone.

        They share what was read: every step reads it once for all of them. Where the model keeps
        state that rows cannot share (sliding windows), they are answered one after the other.
        Sums are taken in another order than alone, so where two tokens are equally likely to the
        last digits of float32, another one may be chosen.

        Args:
            questions: The questions, as for `ask`.
            generation: Length, sampling and stop strings of each answer.
            batch: Most questions in one forward.
            timeout: Seconds that all answers together may take.
            is_wanted: Asked before each token, from the model's thread, whether the question of
                this index still waits for its answer; one that does not ends there.

        Returns:
            The answers in the order of the questions. Their `memory` is None: the lookups of a
            batch are not told apart. Their timings count from the start of their batch.

        Raises:
            QuestionError: A question is empty or malformed; none is then answered.
            ContextOverflowError: One of them does not fit; none is then answered.
            DeadlineExceededError: The time is over.
        """
        check_count(batch, "batch")
        if isinstance(questions, str):
            raise QuestionError("ask_many takes a list of questions, and this is one; ask() it")
        turns = [self._prepare_answer(question, generation) for question in questions]
        deadline = Deadline(timeout)
        answers: list[Answer] = []
        for start in range(0, len(turns), batch):
            group = turns[start : start + batch]
            answers += self._answer_batch(group, deadline, lambda i, at=start: is_wanted(at + i))  # type: ignore[misc]
        return answers

    def _answer_batch(
        self,
        turns: Sequence[PendingAnswer],
        deadline: Deadline,
        is_wanted: Callable[[int], bool],
    ) -> list[Answer]:
        writings = [AnswerBuilder(turn.finish) for turn in turns]
        first, tails = turns[0], [turn.ids for turn in turns]
        work = self._engine.decode_answers(
            tails,
            first.context,
            first.generation,
            chunk=self._config.chunk,
            is_wanted=is_wanted,
        )
        with closing(self._engine.thread.stream(work, deadline)) as steps:
            for step in steps:
                for i, piece in step:
                    writings[i].add(piece)
        return [replace(require_answer(writing.answer), memory=None) for writing in writings]

    def fork(self) -> Conversation:
        """Return a conversation over what has been read: its questions see the turns before them.

        This session stays as it is, and the conversation as it started when this one grows.
        """
        return Conversation(self.pace, self._engine, self._state, self._config)

    def add(self, corpus: Corpus, *, progress: bool | Progress = False) -> ReadCost:
        """Read more documents after those that are there; documents held already are skipped.

        Questions that are being answered go on with what they started from. If it fails or is
        interrupted, the session is as it was.

        Args:
            corpus: What to add.
            progress: As in `Pace.read`.

        Raises:
            ContextOverflowError: It does not fit beside what is there.
        """
        check_corpus(corpus)
        with self._changing:
            held = self._state.corpus
            return self._read_into(held + corpus if held else corpus, progress)

    def remove(self, *names: str, progress: bool | Progress = False) -> ReadCost:
        """Forgets documents; those after the first of them are read again (see `cost_of_removing`).

        Args:
            names: Documents by id, title or source.
            progress: As in `Pace.read`.

        Raises:
            DocumentError: A name fits no document, or none would be left.
        """
        with self._changing:
            return self._read_into(self._remove_documents(names), progress)

    def cost_of_removing(self, *names: str) -> ReadCost:
        """Return what `remove` would have to read again, without doing it."""
        return self._make_job(self._remove_documents(names)).read_cost

    def replace(self, corpus: Corpus, *, progress: bool | Progress = False) -> ReadCost:
        """Put documents in the place of those with the same source, or title where there is none.

        Documents that fit none that is there are added. Only what follows the first difference is
        read again.

        Args:
            corpus: New versions of documents.
            progress: As in `Pace.read`.

        Raises:
            ContextOverflowError: The result does not fit the model's context.
        """
        check_corpus(corpus)
        with self._changing:
            return self._read_into(replace_documents(self._state.corpus, corpus), progress)

    def memory_report(self) -> MemoryReport:
        """Return what the memory holds: hits by layer and step, slots, and the page each came from.

        Raises:
            ConfigError: The memory is off.
        """
        return self._memory_report(self._state)

    def plot_memory(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Draws the memory to ``activations.png`` and ``provenance.png`` in a folder.

        Raises:
            ConfigError: The memory is off.
            MissingExtraError: The ``eval`` extra is not installed.
        """
        state = self._state
        report, memory = self._memory_report(state), get_memory(state.context)
        assert memory is not None
        return plot_memory(memory, report, Path(folder))

    def footprint(self) -> dict[str, int]:
        """Bytes held: of the weights, of the cache per token read, and of the memory banks."""
        return self._engine.footprint(self._state.context)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the read state to a folder atomically; `Pace.open` reads it back.

        A session that is there is replaced, and stays whole until the new one is complete.

        Args:
            path: The folder, by custom ``NAME.pace``.

        Raises:
            SessionFileError: The folder cannot be written, or holds something else.
            DocumentError: The session is blank: there is nothing to keep.
        """
        check_path(path, "path")
        state = self._state
        if state.corpus is None:
            raise DocumentError("a blank session has read nothing that could be saved")
        SessionFolder(self._engine, self.pace.fingerprint, Path(path), self.namespace).save(state)

    def _read_into(self, corpus: Corpus, progress: bool | Progress) -> ReadCost:
        reading = self._make_job(corpus)
        self._state = reading.run(progress)
        return reading.read_cost

    def _make_job(self, corpus: Corpus) -> ReadJob:
        return ReadJob(self._engine, self._state, corpus, self._config)

    def _remove_documents(self, names: Sequence[str]) -> Corpus:
        for name in names:
            check_instance(name, str, "the name of a document")
        corpus = self._state.corpus or Corpus(())
        known = {x for d in corpus.documents for x in (d.id, d.title, d.source)}
        if unknown := [name for name in names if name not in known]:
            raise DocumentError(
                f"no document {unknown[0]!r} in this session; there are "
                f"{[d.title for d in corpus.documents]}"
            )
        gone = set(names)
        left = tuple(d for d in corpus.documents if not gone & {d.id, d.title, d.source})
        if not left:
            raise DocumentError("nothing would be left; start with Pace.read() and other documents")
        return Corpus(left, corpus.report)

    def _memory_report(self, state: ReadState) -> MemoryReport:
        return build_memory_report(
            self._engine, get_memory(state.context), number_passages(state.corpus)
        )

    def _prepare_answer(
        self, question: Question, generation: GenerationConfig | None
    ) -> PendingAnswer:
        config, state = check_generation(generation), self._state
        ids = self._encode_question(question)
        self._check_room(len(ids), config)
        held = self._engine.retained_tokens(state.context, len(ids) + config.max_new_tokens)
        return PendingAnswer(question, ids, state.context.fork(), held, state, config)
