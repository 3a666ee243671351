"""Where a component's session comes from, with LlamaIndex's events around its reading."""

from __future__ import annotations

import asyncio
import os
from typing import Self, cast

from pace_integrations.adapters.lazy_session import Binding
from pace_integrations.documents import Corpus
from pace_integrations.llama_index.events import read
from pace_integrations.model.loading import EMBEDDED_NAME, read_context_window
from pace_integrations.session import Conversation, Pace, Session


class Source(Binding):
    """A `Binding` that traces its reading and can be asked for its window without loading."""

    @classmethod
    def of(cls, asked: Session | Conversation) -> Self:
        """A source that is there already."""
        made = cls()
        made._given = cast("Session", asked)  # what a component uses, both have
        return made

    @property
    def name(self) -> str:
        """The model's name."""
        if self._pace is not None:
            return self._pace.name
        if self.ready:
            return self.session.pace.name
        if self._saved is not None:
            return os.fspath(self._saved)
        return os.fspath(self._options["model"] or EMBEDDED_NAME)

    def window(self) -> int | None:
        """Tokens left for prompt and answer; None where only loading and reading could tell.

        Before the first use this looks at the model's configuration alone. On an event loop, which
        loading would block, what is still to be read is not counted.
        """
        if self.ready:
            return self.session.pace.context_window - self.session.tokens
        if self._saved is not None:
            return None
        reads = self._corpus is not None or self._paths is not None
        if reads and not on_event_loop():
            return None
        if self._pace is not None:
            return self._pace.context_window
        return read_context_window(self._options["model"])

    def _read_corpus(self, pace: Pace, corpus: Corpus) -> Session:
        return read(pace, corpus)


def on_event_loop() -> bool:
    """Whether this thread runs an event loop, which loading would block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
