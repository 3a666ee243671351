"""Events for LlamaIndex's dispatcher beyond what core tells of every component.

Core's own events surround every query, chat and completion. These say what only this library
does: a corpus is read once, and memory banks are looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events import BaseEvent

from pace_integrations._renamed import keep_renamed
from pace_integrations.answer import Answer
from pace_integrations.documents import Corpus

if TYPE_CHECKING:
    from pace_integrations.session import Pace, Session
    from pace_integrations.session.state import ReadCost

dispatcher = get_dispatcher(__name__)


class PaceReadStartEvent(BaseEvent):
    """A corpus is about to be read.

    Attributes:
        model_name: The model that reads.
        documents: Documents of the corpus.
        pages: Pages of the corpus.
    """

    model_name: str
    documents: int
    pages: int

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's registries."""
        return "PaceReadStartEvent"


class PaceReadProgressEvent(BaseEvent):
    """A part of a corpus has been read.

    Attributes:
        done: Tokens read so far.
        total: Tokens to read.
    """

    done: int
    total: int

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's registries."""
        return "PaceReadProgressEvent"


class PaceReadEndEvent(BaseEvent):
    """A corpus has been read.

    Attributes:
        tokens: Tokens that the session now holds.
        read: Those of them that were read for it just now.
    """

    tokens: int
    read: int

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's registries."""
        return "PaceReadEndEvent"


class PaceMemoryEvent(BaseEvent):
    """An answer is complete: how the memory banks met its tokens, summed over layers.

    Attributes:
        high: Lookups that found something familiar: the memory answered.
        medium: Lookups whose find was mixed with the activation.
        low: Lookups that found nothing.
    """

    high: int
    medium: int
    low: int

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's registries."""
        return "PaceMemoryEvent"


def dispatch_within(span: str | None, event: BaseEvent) -> None:
    """Dispatch an event of a stream in the span that asked for it, wherever it is consumed."""
    event.span_id = span or event.span_id
    dispatcher.event(event)


def dispatch_memory_use(answer: Answer, span: str | None = None) -> Answer:
    """Return an answer, after the dispatcher was told how the memory served it."""
    if answer.memory is not None:
        counts = answer.memory
        event = PaceMemoryEvent(high=counts.high, medium=counts.medium, low=counts.low)
        dispatch_within(span, event)
    return answer


class ReadProgress:
    """Tells the dispatcher of every part that is read; a `progress` function of the session."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, done: int, total: int) -> None:
        """Take and tell how far the reading is, in tokens."""
        self.total = total
        dispatcher.event(PaceReadProgressEvent(done=done, total=total))


def announce_reading(pace: Pace, corpus: Corpus) -> ReadProgress:
    """Tell that a corpus is about to be read; the result is for `progress=`."""
    pages = sum(len(document.pages) for document in corpus.documents)
    dispatcher.event(
        PaceReadStartEvent(model_name=pace.name, documents=len(corpus.documents), pages=pages)
    )
    return ReadProgress()


# A span is called after its function, and traces know these two by their short names.
def read(pace: Pace, corpus: Corpus) -> Session:
    """Run `Pace.read` with its events."""
    progress = announce_reading(pace, corpus)
    session = pace.read(corpus, progress=progress)
    dispatcher.event(PaceReadEndEvent(tokens=session.tokens, read=progress.total))
    return session


def renew(session: Session, corpus: Corpus) -> ReadCost:
    """Run `Session.replace` with its events."""
    progress = announce_reading(session.pace, corpus)
    cost = session.replace(corpus, progress=progress)
    dispatcher.event(PaceReadEndEvent(tokens=session.tokens, read=cost.read))
    return cost


read_corpus = dispatcher.span(read)
replace_documents = dispatcher.span(renew)


__getattr__ = keep_renamed(__name__)
