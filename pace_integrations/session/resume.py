"""Keeps what is read on disk while it is read, and goes on from what is there already.

A reading that is under way lies in the folder ``unfinished`` inside the session's own, so that a
session which is there stays whole until its successor is complete.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from filelock import Timeout

from pace_integrations._files import make_lock
from pace_integrations.config import ReadConfig
from pace_integrations.documents import Corpus, Document
from pace_integrations.errors import IncompatibleSessionError, SessionFileError
from pace_integrations.model.engine import Engine
from pace_integrations.session.read_job import Progress, ReadJob
from pace_integrations.session.state import ReadCost, ReadState
from pace_integrations.store import session_folder as files
from pace_integrations.store.manifest import FILE, UNFINISHED, Verify, damage_error
from pace_integrations.store.ownership import claim_folder, remove_session, save_error

SHARE = 0.1  # most of the time of a reading that is spent on keeping its beginning
_log = logging.getLogger(__name__)


class SessionFolder:
    """A folder in which one session is kept.

    Args:
        engine: The model.
        fingerprint: Identity of the model and its settings.
        path: The folder.
        namespace: Whose session it is.
    """

    def __init__(
        self, engine: Engine, fingerprint: dict[str, Any], path: Path, namespace: str | None
    ) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._path = path
        self._namespace = namespace

    def save(self, state: ReadState, *, unfinished: bool = False) -> None:
        """Write a state atomically.

        Args:
            state: What was read.
            unfinished: Whether it is the beginning of a reading that goes on.

        Raises:
            SessionFileError: The folder cannot be written, or holds something else.
        """
        assert state.corpus is not None
        files.write_session(
            self._path / UNFINISHED if unfinished else self._path,
            fingerprint=self._fingerprint,
            tokens=state.tokens,
            corpus=state.corpus,
            tensors=self._engine.context_tensors(state.context),
            namespace=self._namespace,
        )
        if not unfinished:
            remove_session(self._path / UNFINISHED)

    def open(self, *, verify: Verify = "full", unfinished: bool = False) -> ReadState:
        """Open what `save` wrote.

        Args:
            verify: ``"full"`` hashes every file, ``"fast"`` only compares sizes of tensors.
            unfinished: Whether the beginning of an interrupted reading is meant.

        Raises:
            SessionFileError: There is nothing, or it is damaged or of another format.
            IncompatibleSessionError: It is another model's or namespace's.
        """
        path = self._path / UNFINISHED if unfinished else self._path
        saved = files.read_session(
            path, fingerprint=self._fingerprint, verify=verify, namespace=self._namespace
        )
        context = self._engine.restore_context(saved.tensors)
        held, slides = context.cache.get_seq_length(), self._fingerprint["overflow"] == "window"
        if held > saved.tokens or (held < saved.tokens and not slides):
            raise damage_error(path, f"it holds {held} tokens where {saved.tokens} were read")
        return ReadState(context, saved.tokens, saved.corpus)

    def read(
        self, corpus: Corpus, config: ReadConfig, progress: bool | Progress, *, must: bool = True
    ) -> tuple[ReadState, ReadCost]:
        """Read a corpus, as far as it is not here already, and keeps it here.

        Args:
            corpus: What to read.
            config: How to read it.
            progress: As in `Pace.read`.
            must: Whether it is an error if in the end it cannot be kept.

        Raises:
            SessionFileError: The folder cannot be written, or holds something else.
            IncompatibleSessionError: It holds another model's or namespace's session.
        """
        reading, whole = self._make_job(corpus, config)
        state = reading.state
        if reading.ids or not whole:
            with self._lock_folder():
                # Another process may have read it meanwhile.
                reading, whole = self._make_job(corpus, config, warn=True)
                state = self._run_job(reading, progress)
                if reading.ids or not whole:
                    self._save_result(state, must=must)
        if kept := reading.kept:
            total = kept + len(reading.ids)
            _log.info("%d of %d tokens were read before: %s", kept, total, self._path)
        return replace(state, corpus=reading.corpus), reading.read_cost

    def _make_job(
        self, corpus: Corpus, config: ReadConfig, *, warn: bool = False
    ) -> tuple[ReadJob, bool]:
        """Return a reading that goes on from what is here, and whether that is whole."""
        known, whole = self._find_prefix(corpus, warn=warn)
        return ReadJob(self._engine, known, corpus, config), whole

    def _run_job(self, reading: ReadJob, progress: bool | Progress) -> ReadState:
        """Read, keeping the prefix now and then, and in any case when it is interrupted."""
        keep = _ThrottledSaver(lambda state: self.save(state, unfinished=True))
        try:
            return reading.run(progress, keep)
        except BaseException:
            if reading.state.tokens > reading.kept:
                keep.save_now(reading.state)
            raise

    def _save_result(self, state: ReadState, *, must: bool) -> None:
        try:
            self.save(state)
        except SessionFileError as error:
            if must:
                raise
            _log.warning("the session is not kept: %s", error)

    def _find_prefix(self, corpus: Corpus, *, warn: bool) -> tuple[ReadState, bool]:
        """Of what is here, the state that holds most of what `corpus` begins with.

        Returns:
            The state, and whether it is a session of its own (not one that is being read).
        """
        best, length, whole = ReadState(self._engine.new_context()), 0, False
        for unfinished in (False, True):
            found = self._try_open(unfinished=unfinished, warn=warn)
            if found is not None:
                found = replace(found, corpus=_adopt_documents(found.corpus, corpus))
                start = found.longest_prefix(corpus.documents)
                if start is not None and start.tokens > length:
                    best, length, whole = found, start.tokens, not unfinished
        return best, whole

    def _try_open(self, *, unfinished: bool, warn: bool) -> ReadState | None:
        try:
            return self.open(unfinished=unfinished)
        except IncompatibleSessionError:
            raise
        except SessionFileError as error:
            if warn and ((self._path / UNFINISHED if unfinished else self._path) / FILE).exists():
                _log.warning("%s", error)
            return None

    @contextmanager
    def _lock_folder(self) -> Iterator[None]:
        """Wait until no other process or thread reads into this folder."""
        claim_folder(self._path)
        lock = make_lock(self._path / ".reading", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            _log.warning("%s is being read by another process; waiting for it", self._path)
            lock.acquire(timeout=-1)
        except OSError as error:
            raise save_error(self._path, error) from error
        try:
            yield
        finally:
            lock.release()


class _ThrottledSaver:
    """Saves states in a small share of the time; after an error it stops trying."""

    def __init__(self, save: Callable[[ReadState], None]) -> None:
        self._save = save
        self._start = time.perf_counter()
        self._spent = 0.0
        self._cost = 0.0
        self._tokens = 0
        self._works = True

    def __call__(self, state: ReadState) -> None:
        """Save a state if that is in keeping with the time spent so far."""
        start = time.perf_counter()
        if self._works and self._spent + self._cost <= SHARE * (start - self._start):
            self.save_now(state)
            self._cost = time.perf_counter() - start
            self._spent += self._cost

    def save_now(self, state: ReadState) -> None:
        """Save a state unless it is saved already."""
        if state.tokens == self._tokens:
            return
        try:
            self._save(state)
            self._tokens = state.tokens
        except SessionFileError as error:
            self._works = False
            _log.warning("what has been read so far is not kept: %s", error)


def _adopt_documents(held: Corpus | None, corpus: Corpus) -> Corpus:
    """Return documents held, each as `corpus` has it where only its place and metadata differ.

    Their report is that of `corpus`, with the tokens that were counted when they were read.
    """
    old = held or Corpus(())
    pairs = list(zip_longest(old.documents, corpus.documents[: len(old.documents)]))
    same = [new if new and _strip_source(new) == _strip_source(was) else was for was, new in pairs]
    counted = {file.path: file.tokens for file in old.report.files}
    tokens = {
        now.source or now.title: count
        for (was, _), now in zip(pairs, same, strict=True)
        if (count := counted.get(was.source or was.title)) is not None
    }
    return Corpus(tuple(same), corpus.report.with_tokens(tokens))


def _strip_source(document: Document) -> Document:
    return replace(document, source=None, metadata={})
