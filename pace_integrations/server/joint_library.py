"""Several libraries asked as one: their texts searched together, their pages read when needed."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from pace_integrations._files import make_folder
from pace_integrations.documents import Corpus
from pace_integrations.server.backend import Backend, TextBackend
from pace_integrations.server.errors import ApiError
from pace_integrations.server.records import Library

JOINT = ","  # between the ids of libraries that are asked together
MOST_PARTS = 16
_MOST_JOINTS = 64  # sets of libraries that are asked together


class JointLibrary(Library):
    """Libraries that are asked together; it changes with them, and nothing of it outlives them.

    Args:
        parts: The libraries.
        folder: Where its texts and what is read of them are kept.
        make_backend: Makes what reads and answers, from the folder.
    """

    def __init__(
        self,
        parts: Sequence[Library],
        folder: Path,
        make_backend: Callable[[Path], TextBackend],
    ) -> None:
        name = " and ".join(part.name for part in parts)
        super().__init__(JOINT.join(part.id for part in parts), name, parts[-1].namespace, folder)
        self.parts = tuple(parts)
        self._make_backend = make_backend
        self._texts: TextBackend | None = None
        self._held: tuple[str, ...] = ()
        self._lock = threading.Lock()

    async def wait_until_open(self) -> Backend:
        """Return what answers, once each library holds something.

        Raises:
            ApiError: One of them holds nothing that could be read.
        """
        backends = [await part.wait_until_open() for part in self.parts]
        return await asyncio.to_thread(self._match_parts, backends)

    def _match_parts(self, backends: Sequence[Backend]) -> Backend:
        documents = {
            document.id: document
            for backend in backends
            for document in (backend.corpus.documents if backend.corpus else ())
        }
        with self._lock:
            opened = self._texts
            if opened is None:
                opened = self.backend = self._texts = self._make_backend(self.folder)
            if self._held != tuple(documents):
                opened.set_texts(Corpus(tuple(documents.values())))
                self._held = tuple(documents)
            return opened


class JointShelf:
    """The sets of libraries that have been asked together.

    Args:
        folder: Where their texts and what is read of them are kept.
        make_backend: Makes what reads and answers, from a folder.
    """

    def __init__(self, folder: Path, make_backend: Callable[[Path], TextBackend]) -> None:
        self._folder = folder
        self._make_backend = make_backend
        self._held: dict[tuple[Library, ...], JointLibrary] = {}
        self._lock = threading.Lock()

    def list_folders(self) -> list[Path]:
        """Return where something is kept, also by an earlier run."""
        return sorted(self._folder.glob("*"))

    def get(self, parts: Sequence[Library]) -> Library:
        """Return some libraries as one.

        Raises:
            ApiError: They are too many, or none (400).
        """
        if len(parts) == 1:
            return parts[0]
        if not 0 < len(parts) <= MOST_PARTS:
            raise ApiError(400, f"1 to {MOST_PARTS} libraries are asked together", param="tools")
        with self._lock:
            found = self._held.get(tuple(parts))
            if found is None and len(self._held) < _MOST_JOINTS:
                place = self._folder / uuid.uuid4().hex
                make_folder(place)  # a note of it, wherever it is kept
                found = self._held[tuple(parts)] = JointLibrary(parts, place, self._make_backend)
        if found is None:
            raise ApiError(400, f"{_MOST_JOINTS} sets of libraries are asked together already")
        return found

    def forget(self, library: Library) -> list[Path]:
        """Forget sets with a library, which holds less from now on; gives their folders."""
        with self._lock:
            gone = [parts for parts in self._held if library in parts]
            return [self._held.pop(parts).folder for parts in gone]
