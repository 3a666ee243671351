"""A session made on first use, with LlamaIndex's events around its reading."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.documents import Corpus
from pace_integrations.llama_index.events import read_corpus

if TYPE_CHECKING:
    from pace_integrations.session import Pace, Session


class TracedSession(LazySession):
    """A `LazySession` that tells LlamaIndex's dispatcher of its reading."""

    def _read_corpus(self, pace: Pace, corpus: Corpus) -> Session:
        return read_corpus(pace, corpus)


def is_on_event_loop() -> bool:
    """Return whether this thread runs an event loop, which loading would block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
