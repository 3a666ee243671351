"""What a replica has open: libraries by place and version, within a budget of bytes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pace_integrations.documents import Corpus
from pace_integrations.errors import LibraryFileError
from pace_integrations.server.backend import Backend
from pace_integrations.server.library_backend import LibraryBackend


@dataclass(frozen=True, slots=True)
class Place:
    """Where what answers is kept.

    Attributes:
        folder: Its folder or address, or None for the model without documents.
        namespace: Whose it is.
        version: What it must hold, as `version_of` says; None takes what is there.
        texts: Whether its pages are read when a question needs them.
    """

    folder: str | None = None
    namespace: str = ""
    version: str | None = None
    texts: bool = False

    @property
    def session_id(self) -> str:
        """Return the key of routing: requests of one library go to one replica."""
        return f"{self.namespace}/{self.folder}"


def version_of(corpus: Corpus | None) -> str | None:
    """Return a hash of what a backend holds, or None where it holds nothing."""
    if corpus is None:
        return None
    parts = [corpus.fingerprint, [document.id for document in corpus.documents]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class OpenedBackends:
    """Backends that were opened; those used longest ago are closed beyond the budget.

    Args:
        open_backend: Opens one from its place.
        measure: Returns the bytes that an opened one takes.
        budget: Most bytes; the one in use stays also where it alone takes more.
    """

    def __init__(
        self,
        open_backend: Callable[[Place], Backend],
        measure: Callable[[Place], int],
        budget: int,
    ) -> None:
        self._open = open_backend
        self._measure = measure
        self._budget = budget
        self._held: OrderedDict[str, tuple[Backend, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Return the places that are open, the one used longest ago first."""
        return [*self._held]

    def get(self, place: Place) -> Backend:
        """Return a backend that holds what a place says; it is opened anew where it does not.

        Raises:
            LibraryFileError: Nothing is kept there, though something should be.
        """
        with self._lock:
            held = self._held.get(place.session_id)
            if held is None or not _is_current(held[0], place):
                made = self._open(place)
                if place.version is not None and made.corpus is None:
                    raise LibraryFileError(
                        f"this replica finds nothing in {place.folder!r}; give the replicas one "
                        "folder that all of them see, or store= with an address"
                    )
                held = made, 0
            self._keep(place, held[0])
            return held[0]

    def note(self, place: Place, backend: Backend) -> None:
        """Take in that what a backend holds has changed."""
        with self._lock:
            self._keep(place, backend)

    def drop(self, place: Place) -> None:
        """Forget what is open of a place that is about to be removed."""
        with self._lock:
            self._held.pop(place.session_id, None)

    def _keep(self, place: Place, backend: Backend) -> None:
        self._held[place.session_id] = backend, self._measure(place)
        self._held.move_to_end(place.session_id)
        total = sum(size for _, size in self._held.values())
        while total > self._budget and len(self._held) > 1:
            _, (_, size) = self._held.popitem(last=False)
            total -= size


def _is_current(backend: Backend, place: Place) -> bool:
    # A library looks at what is kept by itself, at every question.
    current = getattr(backend, "current", backend)
    if place.version is None or isinstance(current, LibraryBackend):
        return True
    return version_of(backend.corpus) == place.version
