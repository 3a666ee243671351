"""A store of sessions: found again by what was read and how, within a budget of bytes.

``ROOT/<key>.pace`` are sessions as `files.write` makes them; the key is a hash of the model's
fingerprint, the corpus's content and the namespace. Whoever uses an entry holds a lock on a file
of their own in ``ROOT/in-use``, which the system lets go of when the process ends, however it
ends; an entry with such a lock is never removed. ``ROOT/.lock`` is held only while entries are
taken into use or removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from platformdirs import user_cache_path

from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError, SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.entries import Entry, describe_entry, folder_size, last_used
from pace_integrations.store.manifest import Verify, check_namespace

BUDGET = 32 * 2**30
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_log = logging.getLogger(__name__)


class Lease:
    """The use of an entry. It ends with `close`, with its last reference or with the process."""

    def __init__(self, lock: BaseFileLock) -> None:
        self._end = weakref.finalize(self, _release_lock, lock)

    def close(self) -> None:
        """Ends the use."""
        self._end()


class Sessions:
    """A folder of sessions that any number of processes share.

    Args:
        root: The folder; None takes ``sessions`` in the folder that the environment variable
            PACE_HOME names, or in the user's cache folder.
        budget: Most bytes to keep, as a number or like ``"20GB"``; None takes the environment
            variable PACE_BUDGET, or 32 GiB.

    Attributes:
        root: The folder.
        budget: Most bytes to keep. What was used longest ago goes first; what is in use stays.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, *, budget: int | str | None = None
    ) -> None:
        self.root = Path(root) if root is not None else home_folder() / "sessions"
        given = budget if budget is not None else os.environ.get("PACE_BUDGET", BUDGET)
        self.budget = parse_size(given)

    def path(
        self, fingerprint: Mapping[str, Any], corpus: Corpus, namespace: str | None = None
    ) -> Path:
        """Where the session of a corpus lies, or would lie.

        Args:
            fingerprint: Identity of the model and its settings.
            corpus: What was read.
            namespace: Whose it is.
        """
        # A model's name may be its path; the revision in the fingerprint tells models apart.
        identity = {**fingerprint, "model": None, "format": manifests.FORMAT}
        parts = [identity, corpus.fingerprint, check_namespace(namespace)]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return self.root / f"{digest[:32]}.pace"

    def use(self, path: Path) -> Lease:
        """Takes an entry into use, and notes when; nobody removes it while the lease lasts.

        Raises:
            SessionFileError: The store cannot be written.
        """
        marks = self.root / "in-use"
        try:
            marks.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock_store():
                lock = FileLock(marks / f"{path.stem}-{uuid.uuid4().hex[:12]}")
                lock.acquire()
                path.mkdir(exist_ok=True)
                (path / ".used").touch()
        except OSError as error:
            raise SessionFileError(
                f"the store of sessions in {str(self.root)!r} cannot be written: {error.strerror}; "
                "set PACE_HOME to another folder, or do without the store"
            ) from error
        return Lease(lock)

    def list(self) -> tuple[Entry, ...]:
        """All sessions, the one used last first."""
        found = [self._describe_path(path) for path in self._entry_paths()]
        return tuple(sorted(found, key=lambda entry: entry.used, reverse=True))

    def describe(self, key: str) -> Entry:
        """One session.

        Args:
            key: Its key or the beginning of it.

        Raises:
            SessionFileError: No session has that key, or several have.
        """
        fitting = [path for path in self._entry_paths() if key and path.stem.startswith(key)]
        if len(fitting) != 1:
            found = "several sessions" if fitting else "no session"
            raise SessionFileError(
                f"{found} in {str(self.root)!r} with a key that begins with {key!r}; "
                "'pace sessions list' shows all of them"
            )
        return self._describe_path(fitting[0])

    def verify(self, key: str | None = None, *, verify: Verify = "full") -> tuple[Entry, ...]:
        """Checks the files of one session or of all; what is wrong is in each entry's `problem`.

        Args:
            key: Key of one session, or its beginning; None checks all.
            verify: ``"full"`` hashes every file.
        """
        chosen = self.list() if key is None else (self.describe(key),)
        paths = [Path(entry.path) for entry in chosen]
        return tuple(self._describe_path(path, verify) for path in paths)

    def remove(self, key: str) -> Entry:
        """Removes a session.

        Args:
            key: Its key or the beginning of it.

        Raises:
            SessionFileError: There is none, or it is in use.
        """
        entry = self.describe(key)
        if not self._remove_entry(Path(entry.path)):
            raise SessionFileError(f"session {entry.key} is in use; remove it when it is not")
        return entry

    def prune(self, budget: int | str | None = None) -> tuple[Entry, ...]:
        """Removes sessions until the rest fits, those used longest ago first.

        Args:
            budget: Most bytes to keep; None takes the store's budget.

        Returns:
            What was removed. What is in use stays, also where the rest does not fit then.
        """
        most = self.budget if budget is None else parse_size(budget)
        oldest = sorted(self._entry_paths(), key=last_used)
        sizes = {path: folder_size(path) for path in oldest}
        removed, total = [], sum(sizes.values())
        for path in oldest:
            if total <= most:
                break
            entry = self._describe_path(path)
            if self._remove_entry(path):
                total -= sizes[path]
                removed.append(entry)
                _log.info("removed session %s (%d bytes)", entry.key, entry.bytes)
        return tuple(removed)

    def _describe_path(self, path: Path, verify: Verify = "fast") -> Entry:
        with self._lock_store():
            in_use = self._is_used(path)
        return describe_entry(path, in_use=in_use, verify=verify)

    def _entry_paths(self) -> Iterator[Path]:
        pattern = re.compile(r"[0-9a-f]{32}\.pace")
        with contextlib.suppress(FileNotFoundError):
            yield from sorted(p for p in self.root.iterdir() if pattern.fullmatch(p.name))

    def _lock_store(self) -> BaseFileLock:
        return FileLock(self.root / ".lock")

    def _is_used(self, path: Path) -> bool:
        """Whether a living process uses an entry; marks of dead ones are cleared away."""
        used = False
        for mark in (self.root / "in-use").glob(f"{path.stem}-*"):
            try:
                with FileLock(mark, timeout=0):
                    mark.unlink(missing_ok=True)
            except Timeout:
                used = True
            except OSError:
                continue  # another process cleared it away
        return used

    def _remove_entry(self, path: Path) -> bool:
        """Removes an entry, unless it is in use."""
        gone = self.root / f".gone-{uuid.uuid4().hex[:12]}"
        with self._lock_store():
            if self._is_used(path):
                return False
            with contextlib.suppress(FileNotFoundError):
                path.rename(gone)
        for rest in self.root.glob(".gone-*"):  # of killed processes too
            shutil.rmtree(rest, ignore_errors=True)
        return True


def _release_lock(lock: BaseFileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def home_folder() -> Path:
    """The folder that PACE_HOME names, or the user's cache folder."""
    named = os.environ.get("PACE_HOME")
    return Path(named) if named else user_cache_path("pace-integrations", appauthor=False)


def parse_size(value: int | str) -> int:
    """Bytes from a number or from words like ``"20GB"`` and ``"512 MiB"``.

    Raises:
        ConfigError: It is neither.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
    if not match or match[2] not in _UNITS:
        raise ConfigError(f"a size is a number of bytes or like '20GB' or '512 MiB', got {value!r}")
    return int(float(match[1]) * _UNITS[match[2]])
