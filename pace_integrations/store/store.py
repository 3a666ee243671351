"""A store of sessions: found again by what was read and how, within a budget of bytes.

``ROOT/<key>.pace`` are sessions as `write_session` makes them; the key is a hash of the model's
fingerprint, the corpus's content and the namespace. A process that uses an entry holds a lock on a
file of its own in ``ROOT/in-use``, which the system lets go of when the process ends, however it
ends; an entry with such a lock is never removed. ``ROOT/.lock`` is held only while entries are
taken into use or removed.

The root carries a mark (see `make_cache_folder`). In a folder without it, which others may use
too, only sessions that show by their content that they are ours are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, Timeout

from pace_integrations._checks import check_instance, check_path
from pace_integrations._files import (
    is_cache_folder,
    make_cache_folder,
    make_folder,
    make_lock,
    mark_cache_folder,
    remove_file,
    remove_tree,
    touch_file,
)
from pace_integrations._paths import cache_folder, folder_size
from pace_integrations.documents import Corpus
from pace_integrations.errors import SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.budget import BUDGET, parse_size
from pace_integrations.store.entries import Entry, describe_entry, last_used
from pace_integrations.store.lease import Lease
from pace_integrations.store.manifest import Verify, check_namespace
from pace_integrations.store.ownership import claim_folder, is_session_folder, remove_session
from pace_integrations.store.shared_sessions import find_shared_sessions

_ENTRY = re.compile(r"[0-9a-f]{32}\.pace")
_OWN = re.compile(r"\.lock|in-use|\.gone-[0-9a-f]{12}|[0-9a-f]{32}\.pace")
_log = logging.getLogger(__name__)


class Sessions:
    """A folder of sessions that any number of processes share.

    Args:
        root: The folder; None takes ``sessions`` in the folder that the environment variable
            PACE_HOME names, or in the user's cache folder.
        budget: Most bytes to keep, as a number or like ``"20GB"``; None takes the environment
            variable PACE_BUDGET, or 32 GiB.
        shared: Where machines find each other's sessions, such as ``"s3://bucket/pace"``; the
            folder then holds copies. None takes the variable PACE_STORE, where it is set.

    Attributes:
        root: The folder.
        budget: Most bytes to keep. What was used longest ago goes first; what is in use stays.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        budget: int | str | None = None,
        shared: str | None = None,
    ) -> None:
        check_path(root, "root", optional=True)
        self.root = Path(root) if root is not None else cache_folder("sessions")
        default = os.environ.get("PACE_BUDGET", BUDGET)
        self.budget = parse_size(default if budget is None else budget)
        self.shared = find_shared_sessions(shared)

    def path(
        self, fingerprint: Mapping[str, Any], corpus: Corpus, namespace: str | None = None
    ) -> Path:
        """Return where the session of a corpus lies, or would lie.

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
        """Take an entry into use, and note when; nobody removes it while the lease lasts.

        Raises:
            SessionFileError: The store cannot be written.
        """
        try:
            self._make_root()
            with self._lock_store():
                # A new name for each use: nobody else holds it.
                lock = make_lock(self._marks / f"{path.stem}-{uuid.uuid4().hex[:12]}")
                lock.acquire()
                if path.is_symlink() or (path.exists() and not is_session_folder(path)):
                    self._discard(path)  # damaged beyond recognition
                claim_folder(path)
                touch_file(path / ".used")
        except OSError as error:
            raise SessionFileError(
                f"{self._complain(error)}; set PACE_HOME to another folder, or do without the store"
            ) from error
        return Lease(lock)

    def list(self) -> tuple[Entry, ...]:
        """Return all sessions, the one used last first."""
        found = [self._describe_path(path) for path in self._entry_paths()]
        return tuple(sorted(found, key=lambda entry: entry.used, reverse=True))

    def describe(self, key: str) -> Entry:
        """Return one session.

        Args:
            key: Its key or the beginning of it.

        Raises:
            SessionFileError: No session has that key, or several have.
        """
        check_instance(key, str, "key")
        fitting = [path for path in self._entry_paths() if key and path.stem.startswith(key)]
        if len(fitting) != 1:
            found = "several sessions" if fitting else "no session"
            raise SessionFileError(
                f"{found} in {str(self.root)!r} with a key that begins with {key!r}; "
                "'pace sessions list' shows all of them"
            )
        return self._describe_path(fitting[0])

    def verify(self, key: str | None = None, *, verify: Verify = "full") -> tuple[Entry, ...]:
        """Check the files of one session or of all; what is wrong is in each entry's `problem`.

        Args:
            key: Key of one session, or its beginning; None checks all.
            verify: ``"full"`` hashes every file.
        """
        chosen = self.list() if key is None else (self.describe(key),)
        paths = [Path(entry.path) for entry in chosen]
        return tuple(self._describe_path(path, verify) for path in paths)

    def remove(self, key: str) -> Entry:
        """Remove a session.

        Args:
            key: Its key or the beginning of it.

        Raises:
            SessionFileError: There is none, or it is in use.
        """
        entry = self.describe(key)
        try:
            removed = self._remove_entry(Path(entry.path))
        except OSError as error:
            raise SessionFileError(self._complain(error)) from error
        if not removed:
            raise SessionFileError(f"session {entry.key} is in use; remove it when it is not")
        return entry

    def prune(self, budget: int | str | None = None) -> tuple[Entry, ...]:
        """Remove sessions until the rest fits, those used longest ago first.

        Args:
            budget: Most bytes to keep; None takes the store's budget.

        Returns:
            What was removed. What is in use stays, also where the rest does not fit then.
        """
        return self._shrink(self.budget if budget is None else parse_size(budget))

    def wipe(self) -> tuple[Entry, ...]:
        """Remove all sessions, whatever their state; those in use stay.

        Returns:
            What was removed.

        Raises:
            SessionFileError: None could be removed.
        """
        return self._shrink(-1)

    def _shrink(self, most: int) -> tuple[Entry, ...]:
        """Remove sessions, those used longest ago first, until at most `most` bytes are left."""
        oldest = sorted(self._entry_paths(), key=last_used)
        sizes = {path: folder_size(path) for path in oldest}
        removed, total, problem = [], sum(sizes.values()), None
        for path in oldest:
            if total <= most:
                break
            entry = self._describe_path(path)
            try:
                gone = self._remove_entry(path)
            except (OSError, SessionFileError) as error:  # others may be removable
                problem = error
                continue
            if gone:
                total -= sizes[path]
                removed.append(entry)
                _log.info("removed session %s (%d bytes)", entry.key, entry.bytes)
        if problem is not None and not removed:
            text = self._complain(problem) if isinstance(problem, OSError) else str(problem)
            raise SessionFileError(text) from problem
        return tuple(removed)

    @property
    def _marks(self) -> Path:
        return self.root / "in-use"

    def _make_root(self) -> None:
        """Make and mark the root; also one that an earlier version made without a mark."""
        make_cache_folder(self.root)
        make_folder(self._marks)
        if not is_cache_folder(self.root) and all(
            _OWN.fullmatch(p.name) for p in _entries(self.root)
        ):
            mark_cache_folder(self.root)

    def _describe_path(self, path: Path, verify: Verify = "fast") -> Entry:
        try:
            with self._lock_store():
                in_use = self._is_used(path)
        except OSError:  # a store that can only be read has no lock
            in_use = self._is_used(path)
        return describe_entry(path, in_use=in_use, verify=verify)

    def _entry_paths(self) -> Iterator[Path]:
        try:
            yield from sorted(p for p in _entries(self.root) if _ENTRY.fullmatch(p.name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise SessionFileError(self._complain(error, "read")) from error

    def _complain(self, error: OSError, deed: str = "written") -> str:
        return (
            f"the store of sessions in {str(self.root)!r} cannot be {deed}: "
            f"{error.strerror or error}"
        )

    def _lock_store(self) -> BaseFileLock:
        return make_lock(self.root / ".lock")

    def _is_used(self, path: Path) -> bool:
        """Return True if a living process uses an entry; marks of dead ones are cleared away."""
        used = False
        for mark in self._marks.glob(f"{path.stem}-*"):
            try:
                with make_lock(mark, timeout=0):
                    remove_file(mark)
            except Timeout:
                used = True
            except OSError:
                continue  # another process cleared it away
        return used

    def _remove_entry(self, path: Path) -> bool:
        """Remove an entry, unless it is in use.

        Raises:
            OSError: The store cannot be written.
            SessionFileError: The entry does not show that it is ours.
        """
        with self._lock_store():
            if self._is_used(path):
                return False
            self._discard(path)
        return True

    def _discard(self, path: Path) -> None:
        """Take an entry away; in a folder of others too only what shows that it is ours."""
        if not is_cache_folder(self.root):
            if os.path.lexists(path) and not remove_session(path):
                raise SessionFileError(
                    f"{str(path)!r} holds files that are no session's; remove it by hand"
                )
            return
        gone = self.root / f".gone-{uuid.uuid4().hex[:12]}"
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, gone)  # noqa: PTH105 - so that a test can make it fail
        for rest in self.root.glob(".gone-*"):  # of killed processes too
            remove_tree(rest)


def _entries(root: Path) -> Iterator[Path]:
    return (root / name for name in os.listdir(root))  # noqa: PTH208 - the name may not be text
