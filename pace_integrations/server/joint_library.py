"""Several libraries asked as one: their texts searched together, their pages read when needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pace_integrations.documents import Corpus
from pace_integrations.server.backend import Backend, TextBackend
from pace_integrations.server.records import Library

JOINT = ","  # between the ids of libraries that are asked together
MOST_PARTS = 16


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
