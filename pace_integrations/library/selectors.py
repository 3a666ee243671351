"""Which passages of a library a question is asked of.

A selector is a function of a question and a budget; `SELECTORS` lists those that are known by
name. They rank passages by words (`bm25`), by the model's own keys (`heads`) and by both
(`fused`).
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pace_integrations._bm25 import BM25
from pace_integrations.errors import ConfigError
from pace_integrations.library.blocks import Block, SearchView
from pace_integrations.library.choice import Budget, Choice, ScoredBlock, Selector, take_within

SCORED_TOKENS = 2**16  # most tokens whose keys are compared with a question's
RANK_OFFSET = 20  # of reciprocal ranks: how much less a first place counts than it could
_SHORTLIST = 256  # passages that words propose where there are too many keys to compare
_WORD = re.compile(r"\w+")


class RankedSelector(ABC):
    """A selector that ranks passages and takes the best.

    Args:
        view: What it looks at.
    """

    name = ""

    def __init__(self, view: SearchView) -> None:
        self._view = view

    @abstractmethod
    def rank(self, question: str) -> Choice:
        """Return passages that fit at all, the best first."""

    def select(self, question: str, budget: Budget) -> Choice:
        """Choose the best passages that the budget holds."""
        ranked = self.rank(question)
        kept, note = list(ranked.scored), ranked.note
        if not kept:
            kept = [ScoredBlock(block, 0.0, "nothing fits better") for block in self._view.blocks]
            note = note or "no passage has a word of the question"
        taken = take_within(kept, budget, self._view.count_tokens)
        return Choice(tuple(replace(s, reason=self.explain(question, s)) for s in taken), note)

    def explain(self, question: str, scored: ScoredBlock) -> str:
        """Return why a passage was chosen."""
        return scored.reason


class Bm25Selector(RankedSelector):
    """Ranks passages by the question's words, rare ones counting more (BM25)."""

    name = "bm25"

    def __init__(self, view: SearchView) -> None:
        super().__init__(view)
        self._index = BM25()
        words = [split_words(block.words) for block in view.blocks]
        self._vocabulary = {word for passage in words for word in passage}
        if self._vocabulary:
            self._index.index(words, show_progress=False)

    def scores(self, question: str) -> np.ndarray:
        """Return the score of every passage."""
        known = [word for word in split_words(question) if word in self._vocabulary]
        if not known:
            return np.zeros(len(self._view.blocks), dtype=np.float32)
        found: np.ndarray = self._index.get_scores(known)
        return found

    def rank(self, question: str) -> Choice:
        """Rank the passages that share a word with the question."""
        scores = self.scores(question)
        order = np.argsort(-scores, kind="stable")[: _SHORTLIST * 4]
        blocks = self._view.blocks
        ranked = (ScoredBlock(blocks[i], float(scores[i]), "") for i in order if scores[i] > 0)
        return Choice(tuple(ranked))

    def explain(self, question: str, scored: ScoredBlock) -> str:
        """Return the longest words that question and passage share."""
        shared = set(split_words(question)) & set(split_words(scored.block.words))
        longest = sorted(shared, key=lambda word: (-len(word), word))[:6]
        return scored.reason or f"words: {', '.join(longest)}"


class HeadsSelector(RankedSelector):
    """Ranks passages by the model's own keys (late interaction, as in ColBERT).

    A passage's score is the mean, over the question's tokens and the heads, of the best cosine
    between the question's query and the passage's keys, both without positions.
    """

    name = "heads"

    def __init__(self, view: SearchView, words: Bm25Selector | None = None) -> None:
        super().__init__(view)
        self._words = words

    def rank(self, question: str) -> Choice:
        """Rank the passages that the model has read, or those of them that words propose."""
        blocks, note = list(self._view.blocks), ""
        sizes = [len(block.passage.text) // 3 for block in blocks]  # tokens, about
        if sum(sizes) > SCORED_TOKENS:
            self._words = self._words or Bm25Selector(self._view)
            order = np.argsort(-self._words.scores(question), kind="stable")[:_SHORTLIST]
            note = (
                f"keys compared for the {len(order)} of {len(blocks)} passages that words propose"
            )
            blocks = [blocks[i] for i in order]
        pairs = [(b, v) for b in blocks if (v := self._view.vectors(b)) is not None and len(v)]
        partial = len(pairs) < len(blocks)
        if partial:
            missing = f"{len(blocks) - len(pairs)} passages were not read yet"
            note = f"{note}; {missing}" if note else missing
        if not pairs:
            return Choice((), note, partial)
        scores = score_by_keys(self._view.query_vectors(question), [v for _, v in pairs])
        ranked = sorted(zip(scores, pairs, strict=True), key=lambda item: -item[0])
        found = (ScoredBlock(b, s, f"keys alike by {s:.3f}") for s, (b, _) in ranked)
        return Choice(tuple(found), note, partial)


class FusedSelector(RankedSelector):
    """Ranks passages by their places in the orders of words and of keys (reciprocal ranks).

    Keys have no say while some of the passages are not read yet: those that are would come first.
    """

    name = "fused"

    def __init__(self, view: SearchView) -> None:
        super().__init__(view)
        self._words = Bm25Selector(view)
        self._heads = HeadsSelector(view, self._words)

    def rank(self, question: str) -> Choice:
        """Rank what either of the two ranks."""
        lists = {"words": self._words.rank(question), "keys": self._heads.rank(question)}
        note = lists["keys"].note
        if lists["keys"].partial:
            del lists["keys"]
        scores: dict[str, float] = {}
        found: dict[str, Block] = {}
        places: dict[str, list[str]] = {}
        for name, choice in lists.items():
            for place, scored in enumerate(choice.scored, 1):
                key = scored.block.key
                found[key] = scored.block
                scores[key] = scores.get(key, 0.0) + 1.0 / (RANK_OFFSET + place)
                places.setdefault(key, []).append(f"place {place} by {name}")
        order = sorted(scores, key=lambda key: -scores[key])
        ranked = (ScoredBlock(found[k], scores[k], ", ".join(places[k])) for k in order)
        return Choice(tuple(ranked), note)


class PagesSelector(RankedSelector):
    """Ranks passages by the pages that something else finds, such as a framework's retriever.

    Args:
        view: What it looks at.
        find: Gives the numbers of pages that fit a question, the best first.
        name: Name to give in answers.
    """

    def __init__(
        self, view: SearchView, find: Callable[[str], Sequence[int]], name: str = "pages"
    ) -> None:
        super().__init__(view)
        self._find = find
        self._words = Bm25Selector(view)
        self.name = name

    def rank(self, question: str) -> Choice:
        """Rank the passages of the pages found, those of one page by their words."""
        numbers = list(dict.fromkeys(self._find(question)))
        scores = self._words.scores(question)
        by_page: dict[int, list[int]] = {}
        for i, block in enumerate(self._view.blocks):
            by_page.setdefault(block.number, []).append(i)
        ranked = [
            ScoredBlock(
                self._view.blocks[i], 1.0 / place, f"its page is the {self.name}'s {place}."
            )
            for place, number in enumerate(numbers, 1)
            for i in sorted(by_page.get(number, ()), key=lambda i: -scores[i])
        ]
        return Choice(tuple(ranked))


SELECTORS: Mapping[str, type[RankedSelector]] = {
    kind.name: kind for kind in (Bm25Selector, HeadsSelector, FusedSelector)
}

KEYED = (HeadsSelector.name, FusedSelector.name)  # those that need the model's keys


def make_selector(name: str, view: SearchView) -> Selector:
    """Return a selector by its name.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in SELECTORS:
        raise ConfigError(f"selector must be one of {[*SELECTORS]}, got {name!r}")
    return SELECTORS[name](view)


def score_by_keys(query: Tensor, passages: Sequence[Tensor]) -> list[float]:
    """Score passages by the best match of each of the question's vectors.

    Args:
        query: ``(tokens, heads, size)``, of unit length.
        passages: Index vectors of each, int8 ``(tokens, heads, size)``.
    """
    scores: list[float] = []
    start = 0
    while start < len(passages):
        stop, tokens = start, 0
        while stop < len(passages) and (stop == start or tokens + len(passages[stop]) <= 2**13):
            tokens += len(passages[stop])
            stop += 1
        keys = torch.cat(list(passages[start:stop])).float() / 127
        alike = torch.einsum("thd,shd->ths", query, keys)
        for part in alike.split([len(p) for p in passages[start:stop]], dim=-1):
            scores.append(float(part.amax(-1).mean()))
        start = stop
    return scores


def split_words(text: str) -> list[str]:
    """Return the words of a text in the form in which they are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
