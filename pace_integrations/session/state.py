"""What has been read, as values: a session goes from one to the next and never changes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pace_integrations._renamed import keep_renamed
from pace_integrations.documents import Corpus, Document
from pace_integrations.memory import MemoryState
from pace_integrations.model.engine import Context
from pace_integrations.session.citations import Passage


def get_memory(context: Context) -> MemoryState | None:
    """Return the activation memory of a context, or None with the memory off."""
    return context.memory if isinstance(context.memory, MemoryState) else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after some of a corpus's documents, to return to.

    Attributes:
        documents: Documents read.
        tokens: Tokens held.
        context: Cache and memory; nobody extends it but through a fork.
    """

    documents: int
    tokens: int
    context: Context


@dataclass(frozen=True, slots=True)
class ReadState:
    """A corpus that has been read.

    Attributes:
        context: Cache and memory; nobody extends it but through a fork.
        tokens: Tokens held.
        corpus: What was read, or None before anything was.
        checkpoints: Earlier states at document boundaries, shortest first.
        lease: Keeps the files that `context` maps from being removed while it lives.
    """

    context: Context
    tokens: int = 0
    corpus: Corpus | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    lease: object = None

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents read, in order."""
        return self.corpus.documents if self.corpus else ()

    def longest_prefix(self, documents: Sequence[Document]) -> Checkpoint | None:
        """Return the longest known state that holds the first of `documents` and nothing else."""
        pairs = zip(self.documents, documents, strict=False)
        common = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if common is None:
            common = min(len(self.documents), len(documents))
        whole = Checkpoint(len(self.documents), self.tokens, self.context)
        fitting = [c for c in (*self.checkpoints, whole) if 0 < c.documents <= common]
        return fitting[-1] if fitting else None


@dataclass(frozen=True, slots=True)
class ReadCost:
    """What it took to change what a session holds.

    Attributes:
        read: Tokens that were read.
        kept: Tokens that were held already.
    """

    read: int
    kept: int


__getattr__ = keep_renamed(__name__)


def number_passages(corpus: Corpus | None) -> tuple[Passage, ...]:
    """Return the pages of a corpus under the numbers by which the model sees them."""
    pages = corpus.pages() if corpus else ()
    return tuple(Passage(n, document, page) for n, (document, page) in enumerate(pages, 1))


def thin_checkpoints(checkpoints: Sequence[Checkpoint], most: int) -> tuple[Checkpoint, ...]:
    """At most `most` checkpoints: those that are closest to their neighbours go first.

    The last one stays: removing or replacing the newest document is the commonest change.
    """
    kept = list(checkpoints)
    while len(kept) > max(0, most):
        ends = [0, *(c.tokens for c in kept)]
        gaps = [ends[i + 2] - ends[i] for i in range(len(kept) - 1)] or [0]
        kept.pop(gaps.index(min(gaps)))
    return tuple(kept)


def replace_documents(corpus: Corpus | None, other: Corpus) -> Corpus:
    """Return a corpus with documents of another one in the place of their older versions."""
    if corpus is None:
        return other
    new = {_document_key(d): d for d in other.documents}
    kept = tuple(new.pop(_document_key(d), d) for d in corpus.documents)
    return Corpus(kept, corpus.report) + Corpus(tuple(new.values()), other.report)


def _document_key(document: Document) -> str:
    return document.source or document.title
