"""A replica: one model, and the libraries that it has open. Knows nothing of HTTP.

States lie where every replica reaches them, so a replica that is new to a library opens a file and
reads no page.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pace_integrations._paths import folder_size
from pace_integrations.answer import Answer, Citation
from pace_integrations.documents import Corpus
from pace_integrations.library.maintenance import remove_shared_library
from pace_integrations.ray.opened import OpenedBackends, Place, version_of
from pace_integrations.server.backend import Backend, Call, SessionBackend
from pace_integrations.server.core import anext_or_none
from pace_integrations.server.library_backend import GrowingBackend, LibraryBackend
from pace_integrations.session import Pace
from pace_integrations.session.citations import Passage
from pace_integrations.store.budget import parse_size
from pace_integrations.store.shared_folder import is_url

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Holding:
    """What a backend holds, as the ingress needs to know it.

    Attributes:
        corpus: Its documents, or None.
        tokens: Tokens of what it holds.
        passages: Its pages under their numbers.
        version: Tells it from what it held before.
    """

    corpus: Corpus | None
    tokens: int
    passages: Sequence[Passage]
    version: str | None


class Engine:
    """A model that answers for the ingress.

    Args:
        load: Arguments of `Pace.load`.
        budget: Most bytes of opened libraries.
    """

    def __init__(self, load: Mapping[str, Any], budget: int | str) -> None:
        self._pace = Pace.load(**load)
        self._opened = OpenedBackends(self._open, _measure_place, parse_size(budget))
        self._blank = SessionBackend(self._pace, None, None)
        self._counts: Counter[str] = Counter()
        self._changing = threading.Lock()

    def describe_model(self) -> dict[str, Any]:
        """Return what the ingress says of the model."""
        pace = self._pace
        names = ("name", "context_window", "knows_tools")
        return {name: getattr(pace, name) for name in names}

    def describe_replica(self) -> dict[str, Any]:
        """Return what this replica has done: process, open libraries, answers and tokens read."""
        return {"pid": os.getpid(), "open": self._opened.names, **self._counts}

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        return self._pace.token_ids(text)

    async def open_place(self, place: Place) -> Holding:
        """Return what is kept at a place."""
        return await self._run(place, _describe_backend)

    async def set_corpus(
        self, place: Place, corpus: Corpus
    ) -> AsyncGenerator[tuple[int, int] | Holding]:
        """Hold these documents and no others; yields tokens done and in all, the holding last."""
        loop, steps = asyncio.get_running_loop(), asyncio.Queue[tuple[int, int]]()

        def note(done: int, total: int) -> None:
            loop.call_soon_threadsafe(steps.put_nowait, (done, total))

        def change(backend: Backend) -> Holding:
            with self._changing:
                if place.texts and isinstance(backend, LibraryBackend):
                    backend.set_texts(corpus)
                else:
                    backend.set_corpus(corpus, note)
            self._opened.note(place, backend)
            return _describe_backend(backend)

        read = 0

        job = asyncio.ensure_future(self._run(place, change))
        while not job.done():
            waiting = asyncio.ensure_future(steps.get())
            await asyncio.wait({job, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                done, read = waiting.result()
                yield done, read
            waiting.cancel()
        holding = job.result()
        self._counts["read"] += read
        yield holding

    async def remove_place(self, place: Place) -> None:
        """Remove what is kept at an address; a folder is the ingress's own to remove.

        Raises:
            LibraryFileError: The store does not answer.
        """
        self._opened.drop(place)
        if is_url(place.folder or ""):
            await asyncio.to_thread(remove_shared_library, str(place.folder))

    async def find_pages(self, place: Place, query: str, count: int) -> list[Citation]:
        """Return the pages that fit a query best."""
        return await self._run(place, lambda backend: backend.find_pages(query, count))

    async def ask(self, place: Place, call: Call) -> Answer:
        """Answer a call; cancelling stops the generation."""
        backend = await asyncio.to_thread(self._get, place)
        answer = await backend.ask(call)
        self._note_answer(answer)
        return answer

    async def stream(self, place: Place, call: Call) -> AsyncGenerator[str | Answer]:
        """Answer a call piece by piece, the whole answer last; closing it stops the generation."""
        backend = await asyncio.to_thread(self._get, place)
        stream = await backend.start_stream(call)
        async with aclosing(stream):
            while (piece := await anext_or_none(stream)) is not None:
                self._counts["pieces"] += 1
                yield piece
            answer = stream.answer
        self._note_answer(answer)
        yield answer

    async def _run(self, place: Place, work: Callable[[Backend], Result]) -> Result:
        return await asyncio.to_thread(lambda: work(self._get(place)))

    def _get(self, place: Place) -> Backend:
        return self._blank if place.folder is None else self._opened.get(place)

    def _open(self, place: Place) -> Backend:
        assert place.folder is not None
        if is_url(place.folder):
            return LibraryBackend(self._pace, place.folder)
        if place.texts:
            return LibraryBackend(self._pace, Path(place.folder))
        return GrowingBackend(self._pace, Path(place.folder), place.namespace or None)

    def _note_answer(self, answer: Answer) -> None:
        self._counts["answers"] += 1
        selection = answer.selection
        self._counts["read"] += selection.read if selection is not None else 0


def _describe_backend(backend: Backend) -> Holding:
    corpus = backend.corpus
    return Holding(corpus, backend.tokens, tuple(backend.passages), version_of(corpus))


def _measure_place(place: Place) -> int:
    local = place.folder is not None and not is_url(place.folder)
    return folder_size(Path(cast(str, place.folder))) if local else 0
