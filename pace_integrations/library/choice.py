"""What a selector is, and what it gives: passages with scores and reasons, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pace_integrations.library.blocks import Block

LEAST_PAGES = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be chosen.

    Attributes:
        tokens: Most tokens; two pages are chosen whatever they take, as far as `limit` goes.
        passages: Most passages, or None.
        limit: Most tokens that can be chosen at all.
    """

    tokens: int
    passages: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """A passage and how well it fits.

    Attributes:
        block: The passage.
        score: How well it fits, comparable within one choice.
        reason: Why it was chosen.
    """

    block: Block
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Passages chosen for a question.

    Attributes:
        scored: The passages, the best first.
        note: What was not looked at, or an empty string.
        partial: Whether passages could not be ranked because the model has not read them.
    """

    scored: tuple[ScoredBlock, ...]
    note: str = ""
    partial: bool = False


class Selector(Protocol):
    """A way to choose passages."""

    @property
    def name(self) -> str:
        """Its name, as answers give it."""
        ...

    def select(self, question: str, budget: Budget) -> Choice:
        """Choose passages for a question.

        Args:
            question: The question.
            budget: How much may be chosen.
        """
        ...


def take_within(
    ranked: Iterable[ScoredBlock], budget: Budget, count: Callable[[Block], int]
) -> list[ScoredBlock]:
    """Return the first of some ranked passages: what a budget holds, from two pages at least."""
    kept: list[ScoredBlock] = []
    pages: set[int] = set()
    used = 0
    for scored in ranked:
        if budget.passages is not None and len(kept) == budget.passages:
            break
        tokens = count(scored.block)
        needed = len(pages | {scored.block.number}) <= LEAST_PAGES and not (
            used and scored.block.number in pages
        )
        if used + tokens > budget.tokens and not needed:
            break
        if budget.limit is not None and used + tokens > budget.limit:
            break
        kept.append(scored)
        pages.add(scored.block.number)
        used += tokens
    return kept
