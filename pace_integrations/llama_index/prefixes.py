"""Beginnings of conversations that a caller marked to be kept (LlamaIndex's `CachePoint`)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

from llama_index.core.base.llms.types import CachePoint, ChatMessage

from pace_integrations.session import Conversation, Session

_MOST = 4


def marked(messages: Sequence[ChatMessage]) -> Hashable | None:
    """What stands before the last mark, or None where there is none."""
    blocks = [(message.role.value, block) for message in messages for block in message.blocks]
    last = max((i for i, (_, b) in enumerate(blocks) if isinstance(b, CachePoint)), default=None)
    if last is None:
        return None
    return tuple(
        (role, block.model_dump_json())
        for role, block in blocks[:last]
        if not isinstance(block, CachePoint)
    )


class Prefixes:
    """Conversations by their marked beginnings; those unused for longest go first.

    A question whose beginning is kept computes only what follows it. Its answer is the one it
    would get without the mark.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Conversation] = OrderedDict()
        self._lock = threading.Lock()

    def conversation(self, session: Session, beginning: Hashable) -> Conversation:
        """A conversation without turns that has computed a beginning, or will have.

        Args:
            session: What is asked; when it has changed, what was kept of it is dropped.
            beginning: From `marked`.
        """
        with self._lock:
            held = self._held.get(beginning)
            if held is None or held.corpus is not session.corpus:
                held = session.fork()
            twin = held.fork()
            twin.history = ()
            self._held[beginning] = twin
            self._held.move_to_end(beginning)
            while len(self._held) > _MOST:
                self._held.popitem(last=False)
        return twin
