"""The one LRU cache: values made on first use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Slot(Generic[V]):
    """A value, or the lock under which it is being made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: list[V] = []


class LruCache(Generic[K, V]):
    """LRU cache whose values are expensive to make.

    Threads that ask for a key whose value is being made wait for it; other keys are served
    meanwhile. A value whose making fails is not kept.

    Args:
        max_items: Most values to hold; 0 holds none.
    """

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._slots: OrderedDict[K, _Slot[V]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._slots)

    def get_or_create(self, key: K, create: Callable[[], V]) -> V:
        """Return the value of a key; `create` makes it where there is none."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._max_items:
                self._slots.popitem(last=False)
        with slot.lock:
            if not slot.values:
                slot.values.append(create())
            return slot.values[0]
