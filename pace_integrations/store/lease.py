"""The use of an entry of a store, which keeps others from removing it."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Self

from filelock import BaseFileLock

from pace_integrations._files import remove_file


class Lease:
    """Use of an entry. It ends with `close`, with its last reference or with the process."""

    def __init__(self, lock: BaseFileLock) -> None:
        self._end = weakref.finalize(self, _release_lock, lock)

    def close(self) -> None:
        """End the use."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _release_lock(lock: BaseFileLock) -> None:
    lock.release()
    remove_file(Path(lock.lock_file))
