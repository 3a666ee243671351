"""How a library is read and kept, and what it takes up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pace_integrations.errors import ConfigError
from pace_integrations.library.blocks import SearchView
from pace_integrations.library.choice import Selector
from pace_integrations.library.page_store import StoreSize
from pace_integrations.library.passages import SIZE
from pace_integrations.library.profile import ReadingProfile

BUDGET = 32 * 2**30
Attention = Literal["auto", "pages", "full"]
SelectorMaker = Callable[[SearchView], Selector]


@dataclass(frozen=True, slots=True)
class LibraryConfig:
    """Settings of a library.

    Attributes:
        selector: What chooses passages: ``"bm25"``, ``"heads"``, ``"fused"``, or a function that
            makes a `Selector`. None takes what the model's profile says, usually ``"bm25"``.
        passage: About how many characters are read by themselves; None reads whole pages. A
            library keeps what it was made with.
        states: ``"full"`` keeps states as the model computes them, ``"int8"`` in eight bits: half
            of bfloat16's size.
        budget: Most bytes of states, as a number or like ``"20GB"``; None takes the environment
            variable PACE_BUDGET, or 32 GiB.
        attention: ``"pages"`` reads every passage by itself and keeps it, ``"full"`` reads the
            chosen pages together; ``"auto"`` takes what the model was trained for.
        profile: What the model was trained for; None takes what stands beside its weights.
    """

    selector: str | SelectorMaker | None = None
    passage: int | None = SIZE
    states: Literal["full", "int8"] = "full"
    budget: int | str | None = None
    attention: Attention = "auto"
    profile: ReadingProfile | None = None

    def __post_init__(self) -> None:
        if self.attention not in ("auto", "pages", "full"):
            known = "'auto', 'pages' or 'full'"
            raise ConfigError(f"attention must be {known}, not {self.attention!r}")
        if self.states not in ("full", "int8"):
            raise ConfigError(f"states must be 'full' or 'int8', not {self.states!r}")
        if self.passage is not None and self.passage < 50:
            raise ConfigError(f"passage must be at least 50 characters, got {self.passage}")


@dataclass(frozen=True, slots=True)
class LibraryStats:
    """The size of a library.

    Attributes:
        documents: Number of documents.
        pages: Number of pages.
        passages: Number of passages that are read by themselves.
        unread: Passages that this model has not read yet.
        store: What the states take up, or None where the model keeps none.
    """

    documents: int
    pages: int
    passages: int
    unread: int
    store: StoreSize | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return asdict(self)
