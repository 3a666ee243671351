"""Finds the words of a page that support an answer. Pure functions of text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise

from pace_integrations.documents.quotes.sentences import LONGEST, Span, split_sentences
from pace_integrations.documents.quotes.words import content_keys, word_keys

# The question tells where to look, the answer tells what must stand there.
_QUESTION_WEIGHT = 0.4
# What the question does not already say is what the quote must show.
_NEWS_WEIGHT = 2.0
_LENGTH_COST = 0.0005
_PASSAGE_WEIGHT = 0.25
_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Quote:
    """A part of a page's text.

    Attributes:
        text: The words; always ``page_text[start:end]``.
        start: First character, 0-based.
        end: One past the last character.
        score: Share of the answer's content words that the quote contains, 0 to 1.
    """

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class _WeightedWords:
    """The words looked for, each with its weight; all weights of a kind add up to 1."""

    answer: Mapping[str, float]
    question: Mapping[str, float]

    def score(self, keys: frozenset[str]) -> float:
        """Return the share of what is looked for that some words contain, 0 to 1.4."""
        answer = sum(weight for key, weight in self.answer.items() if key in keys)
        question = sum(weight for key, weight in self.question.items() if key in keys)
        return answer + _QUESTION_WEIGHT * question

    def answer_share(self, keys: frozenset[str]) -> float:
        """Return the share of the answer's words among some words, each counted once, 0 to 1."""
        return len(self.answer.keys() & keys) / len(self.answer) if self.answer else 0.0


def _normalize_weights(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


def _weigh_words(answer: str, question: str, texts: Sequence[frozenset[str]]) -> _WeightedWords:
    """Weigh the words of answer and question by how rare they are among the texts."""
    said, asked = content_keys(answer), content_keys(question)
    counts = Counter(key for keys in texts for key in (said | asked) & keys)

    def rarity(key: str) -> float:
        return math.log(1.0 + len(texts) / (1.0 + counts[key])) + 1e-9

    news = {key: rarity(key) * (1.0 if key in asked else _NEWS_WEIGHT) for key in sorted(said)}
    return _WeightedWords(
        _normalize_weights(news),
        _normalize_weights({key: rarity(key) for key in sorted(asked - said)}),
    )


def _candidate_runs(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the sentences, and pairs of neighbours that are short enough to quote together."""
    yield from spans
    yield from (
        (first[0], second[1])
        for first, second in pairwise(spans)
        if second[1] - first[0] <= LONGEST
    )


def _best_run(text: str, wanted: _WeightedWords, spans: Sequence[Span]) -> tuple[float, Quote]:
    """Return the best run and its value; the earliest of equals."""
    best = (False, -math.inf)
    value, quote = 0.0, Quote("", 0, 0, 0.0)
    for start, end in _candidate_runs(spans):
        keys = word_keys(text[start:end])
        share, found = wanted.answer_share(keys), wanted.score(keys)
        rank = (share > 0.0, found - _LENGTH_COST * (end - start))
        if rank > best:
            best, value, quote = rank, found, Quote(text[start:end], start, end, share)
    return value, quote


def best_quote(page_text: str, answer: str, question: str) -> Quote:
    """Find the sentence or short run of a page that supports an answer best.

    Args:
        page_text: The page.
        answer: The answer; marks such as ``[3]`` in it are ignored.
        question: The question; its words decide between places that hold the answer equally.

    Returns:
        The quote; where nothing matches, the first sentence with score 0, or an empty quote of
        an empty page.
    """
    spans = split_sentences(page_text)
    wanted = _weigh_words(answer, question, [word_keys(page_text[a:b]) for a, b in spans])
    return _best_run(page_text, wanted, spans)[1]


def best_passage(passages: Sequence[str], answer: str, question: str) -> tuple[int, Quote] | None:
    """Find the passage that supports an answer best, and the quote in it.

    Words count by how few passages have them. The passages with the most of them are then
    compared by their best quotes, so that scattered words do not win over one sentence.

    Args:
        passages: Texts of all passages.
        answer: The answer.
        question: The question.

    Returns:
        0-based index of the passage and its quote; None if no passage has a word of the answer.
    """
    keys = [word_keys(passage) for passage in passages]
    wanted = _weigh_words(answer, question, keys)
    values = {
        index: wanted.score(words)
        for index, words in enumerate(keys)
        if not words.isdisjoint(wanted.answer)
    }
    best: tuple[float, int, Quote] | None = None
    for index in nlargest(_CANDIDATES, values, key=lambda index: (values[index], -index)):
        value, quote = _best_run(passages[index], wanted, split_sentences(passages[index]))
        total = value + _PASSAGE_WEIGHT * values[index]
        if quote.score > 0.0 and (best is None or (total, -index) > (best[0], -best[1])):
            best = (total, index, quote)
    return None if best is None else (best[1], best[2])
