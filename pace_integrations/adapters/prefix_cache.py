"""Prompts that begin alike are computed once: the last few conversations stay in the cache."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pace_integrations.model.prompts import Message
from pace_integrations.session import Session
from pace_integrations.session.conversation import Conversation


@dataclass(frozen=True, slots=True)
class _Slot:
    """A conversation whose prompt is held.

    Attributes:
        text: The prompt, as text to compare others with.
        conversation: What holds it.
        pinned: Whether it stays while slots that are not pinned can go.
    """

    text: str
    conversation: Conversation
    pinned: bool


class Prefixes:
    """The prompts a session was asked last, least lately used first.

    Args:
        session: What is asked.
        most: Most prompts to hold; 0 holds none.

    Attributes:
        most: Most prompts it holds.
    """

    def __init__(self, session: Session, most: int) -> None:
        self._session = session
        self.most = most
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()

    def conversation(self, messages: Sequence[Message]) -> Conversation:
        """A conversation without turns that holds as much of a prompt as any before it."""
        text = _text_of(messages)
        with self._lock:
            # A session that has grown has other passages: what was computed for it is void.
            corpus = self._session.corpus
            self._slots = [s for s in self._slots if s.conversation.corpus is corpus]
            best = max(self._slots, key=lambda s: _common(s.text, text), default=None)
            twin = best.conversation.fork() if best else self._session.fork()
        twin.history = ()
        return twin

    def keep(
        self, conversation: Conversation, messages: Sequence[Message], *, pinned: bool
    ) -> None:
        """Holds the prompt that a conversation was asked."""
        slot = _Slot(_text_of(messages), conversation, pinned)
        with self._lock:
            # One that goes on from another, or repeats it, takes its place.
            self._slots = [s for s in self._slots if not slot.text.startswith(s.text)]
            self._slots.append(slot)
            while len(self._slots) > self.most:
                loose = (i for i, s in enumerate(self._slots[:-1]) if not s.pinned)
                self._slots.pop(next(loose, 0))


def _text_of(messages: Sequence[Message]) -> str:
    return "\0".join(f"{message['role']}\0{message['content']}" for message in messages)


def _common(a: str, b: str) -> int:
    """Length of the longest common start, found by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low
