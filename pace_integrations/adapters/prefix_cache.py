"""Prompts that begin alike are computed once: the last few stay in the KV cache."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message
    from pace_integrations.session import Conversation, Session


@dataclass(frozen=True, slots=True)
class _Slot:
    """A conversation whose prompt is cached.

    Attributes:
        text: The prompt, as text to compare others with.
        conversation: What caches it.
        pinned: Whether it stays while slots that are not pinned can go.
    """

    text: str
    conversation: Conversation
    pinned: bool


class PrefixCache:
    """The prompts that a session was asked last, least recently used first.

    It is no `LruCache`: what is looked for is the longest common prefix, not a key.

    Args:
        session: What is asked.
        max_prompts: Most prompts to hold; 0 holds none.

    Attributes:
        max_prompts: Most prompts it holds.
    """

    def __init__(self, session: Session, max_prompts: int) -> None:
        self._session = session
        self.max_prompts = max_prompts
        self._slots: list[_Slot] = []
        self._lock = threading.Lock()

    def fork_conversation(self, messages: Sequence[Message]) -> Conversation:
        """Return a conversation without turns that caches as much of a prompt as any before it."""
        text = _join_messages(messages)
        with self._lock:
            # A session that has grown has other passages: what was computed for it is void.
            corpus = self._session.corpus
            self._slots = [s for s in self._slots if s.conversation.corpus is corpus]
            best = max(self._slots, key=lambda s: _common_length(s.text, text), default=None)
            twin = best.conversation.fork() if best else self._session.fork()
        twin.history = ()
        return twin

    def keep_prompt(
        self, conversation: Conversation, messages: Sequence[Message], *, pinned: bool
    ) -> None:
        """Hold the prompt that a conversation was asked."""
        slot = _Slot(_join_messages(messages), conversation, pinned)
        with self._lock:
            # One that goes on from another, or repeats it, takes its place and its pin.
            replaced = [s for s in self._slots if slot.text.startswith(s.text)]
            if any(s.pinned for s in replaced):
                slot = _Slot(slot.text, conversation, True)
            self._slots = [s for s in self._slots if s not in replaced]
            self._slots.append(slot)
            while len(self._slots) > self.max_prompts:
                loose = (i for i, s in enumerate(self._slots[:-1]) if not s.pinned)
                self._slots.pop(next(loose, 0))


def _join_messages(messages: Sequence[Message]) -> str:
    return "\0".join(f"{message['role']}\0{message['content']}" for message in messages)


def _common_length(a: str, b: str) -> int:
    """Return the length of the longest common prefix, found by halving."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low
