"""Choosing documents under a budget of tokens: the last ones, or those that match the question."""

from __future__ import annotations

from collections.abc import Iterable

from pace_integrations._bm25 import BM25, tokenize
from pace_integrations.evaluation.tasks.rows import Count, Row


def select_last(row: Row, budget: int, count: Count) -> list[int]:
    """Select the last documents that fit, in order; at least one."""
    return _fit_budget(reversed(range(len(row.documents))), row, budget, count)


def select_bm25(row: Row, budget: int, count: Count) -> list[int]:
    """Select the documents that match the question best by BM25 and fit, in order; at least one."""
    texts = [f"{title} {text}" for title, text in row.documents]
    words = tokenize([*texts, row.question], stopwords=None, show_progress=False)
    by_id = {number: word for word, number in words.vocab.items()}
    tokens = [[by_id[i] for i in ids] for ids in words.ids]
    index = BM25()
    index.index(tokens[:-1], show_progress=False)
    scores = index.get_scores(tokens[-1])
    ranked = sorted(range(len(texts)), key=lambda i: (-float(scores[i]), i))
    return _fit_budget(ranked, row, budget, count)


def _fit_budget(order: Iterable[int], row: Row, budget: int, count: Count) -> list[int]:
    """Take documents by preference until one does not fit; return them in reading order."""
    kept: list[int] = []
    for i in order:
        title, text = row.documents[i]
        budget -= count(f"{title}\n{text}")
        if kept and budget < 0:
            break
        kept.append(i)
    return sorted(kept)
