"""Sessions kept by what they hold, so that one set of texts is read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from pace_integrations.session import Session


class _Slot:
    """A session, or the lock under which it is being read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.session: Session | None = None


class Shelf:
    """At most `most` sessions; the one unused for longest goes first.

    Whoever asks for a set that is being read waits for it; other sets are served meanwhile.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, read: Callable[[], Session]) -> Session:
        """The session under a key; `read` makes it when it is not there."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._most:
                self._slots.popitem(last=False)
        with slot.lock:
            slot.session = slot.session or read()
            return slot.session
