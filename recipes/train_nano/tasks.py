"""Evaluation tasks: held-out questions in the format of the library."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.train_nano import formats
from recipes.train_nano.facts import make_fact, make_facts
from recipes.train_nano.prepare import read_words
from recipes.train_nano.relations import TRAINING, Relation
from recipes.train_nano.sources import sentences
from recipes.train_nano.values import Maker

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
CHARACTERS_PER_TOKEN = 3.9
PAGE = 700
SHORT_TITLES = ("contract.pdf", "Annual report", "notes.txt")


@dataclass(frozen=True)
class Item:
    """One question.

    Args:
        passages: Numbered passages as the model sees them.
        question: The question.
        answers: Accepted answers; none where the passages do not say.
        pages: Numbers of the passages that may be cited.
    """

    passages: list[str]
    question: str
    answers: list[str]
    pages: frozenset[int]


def read_rows(path: Path, limit: int) -> list[dict[str, Any]]:
    """Read up to `limit` JSON lines."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(limit), strict=False)]


def numbered(documents: Sequence[tuple[str, str]]) -> list[str]:
    """Render titles and texts as numbered passages."""
    return [formats.passage(i + 1, t, None, x) for i, (t, x) in enumerate(documents)]


def squad(data: Path, passages: int, limit: int) -> list[Item]:
    """SQuAD 2.0 questions, each among `passages` passages (the others drawn from all articles)."""
    rng = random.Random(passages)
    rows = read_rows(data / "squad_dev.jsonl", limit)
    contexts = sorted({(r["title"], r["context"]) for r in rows})
    items = []
    for row in rows:
        own = (row["title"], row["context"])
        others = [c for c in rng.sample(contexts, min(len(contexts), passages)) if c != own]
        documents = others[: passages - 1]
        place = rng.randrange(len(documents) + 1)
        documents.insert(place, own)
        pages = frozenset({place + 1})
        items.append(Item(numbered(documents), row["question"], row["answers"], pages))
    return items


def two_wiki(data: Path, limit: int) -> list[Item]:
    """2WikiMultihopQA: ten passages, the supporting ones may be cited."""
    items = []
    for row in read_rows(data / "2wikimultihopqa_dev_200.jsonl", limit):
        documents = [(d["title"], d["text"]) for d in row["docs"]]
        pages = frozenset(i + 1 for i, d in enumerate(row["docs"]) if d["supporting"])
        items.append(Item(numbered(documents), row["question"], row["answers"], pages))
    return items


def key_value(data: Path, limit: int) -> list[Item]:
    """Random keys and values, 75 pairs in one passage."""
    items = []
    for row in read_rows(data / "kv_retrieval_75.jsonl", limit):
        text = "\n".join(f'"{key}": "{value}"' for key, value in row["ordered_kv_records"])
        question = f"What is the value of {row['key']}?"
        items.append(Item(numbered([("records", text)]), question, [row["value"]], frozenset({1})))
    return items


def haystack(data: Path) -> tuple[list[str], Maker]:
    """Sentences to hide facts in, and a maker of facts, both from the evaluation texts."""
    rows = read_rows(data / "squad_dev.jsonl", 10_000)
    texts = sorted({row["context"] for row in rows})
    random.Random(7).shuffle(texts)
    maker = Maker(np.random.default_rng(20_000_003), read_words(texts))
    return [s for text in texts for s in sentences(text)], maker


def planted(
    data: Path, tokens: int, count: int, relations: tuple[Relation, ...] = TRAINING
) -> list[Item]:
    """Facts hidden in about `tokens` tokens of prose, at five depths in turn."""
    pool, maker = haystack(data)
    items = []
    for i in range(count):
        filler = _filler(pool, maker, int(tokens * CHARACTERS_PER_TOKEN))
        fact = make_fact(maker, relations)
        filler.insert(round(DEPTHS[i % len(DEPTHS)] * len(filler)), fact.statement)
        pages = _paged(filler)
        documents = [("report.pdf", " ".join(page)) for page in pages]
        home = next(n for n, page in enumerate(pages) if fact.statement in page)
        passages = [formats.passage(n + 1, t, str(n + 1), x) for n, (t, x) in enumerate(documents)]
        items.append(Item(passages, fact.question, [fact.answer], frozenset({home + 1})))
    return items


def short_documents(data: Path, count: int, relations: tuple[Relation, ...]) -> list[Item]:
    """Three short pages with a few facts each, and one question."""
    _, maker = haystack(data)
    items: list[Item] = []
    while len(items) < count:
        facts = make_facts(maker, 9, relations)
        stated = list(dict.fromkeys(fact.statement for fact in facts))
        texts = [" ".join(stated[i::3]) for i in range(3)]
        fact = maker.pick(facts)
        page = frozenset({stated.index(fact.statement) % 3 + 1})
        passages = numbered(list(zip(SHORT_TITLES, texts, strict=True)))
        items.append(Item(passages, fact.question, [fact.answer], page))
    return items


def _filler(pool: list[str], maker: Maker, characters: int) -> list[str]:
    start, size = maker.below(len(pool)), 0
    taken: list[str] = []
    while size < characters:
        sentence = pool[(start + len(taken)) % len(pool)]
        taken.append(sentence)
        size += len(sentence) + 1
    return taken


def _paged(parts: list[str]) -> list[list[str]]:
    pages: list[list[str]] = [[]]
    for part in parts:
        if sum(map(len, pages[-1])) > PAGE:
            pages.append([])
        pages[-1].append(part)
    return pages
