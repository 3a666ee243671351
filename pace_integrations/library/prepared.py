"""What a question is put to: contexts that passages were read into."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pace_integrations.library.blocks import Block
from pace_integrations.model.engine import Engine
from pace_integrations.model.forward import ForwardContext
from pace_integrations.model.pages import RowsContext


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows that can be asked together.

    Attributes:
        rows: What they have read.
        around: Makes the context that each forward runs in.
        tokens: Tokens of all rows, what they share counted once.
        read: Tokens of them that were read just now.
    """

    rows: RowsContext
    around: ForwardContext
    tokens: int
    read: int


class GroupReader(Protocol):
    """A maker of contexts from passages. Its methods run on the model's thread."""

    @property
    def engine(self) -> Engine:
        """The model."""
        ...

    @property
    def head_tokens(self) -> int:
        """Tokens that every prompt begins with."""
        ...

    def count_tokens(self, block: Block) -> int:
        """Return the tokens of a passage."""
        ...

    def prepare(self, groups: Sequence[Sequence[Block]]) -> Generator[int, None, list[Prepared]]:
        """Return contexts whose rows, counted through, are the groups; yields while it reads."""
        ...
