"""Invented facts planted in the user's own documents."""

from __future__ import annotations

import random
from dataclasses import replace

from pace_integrations._renamed import keep_renamed
from pace_integrations.documents import Corpus
from pace_integrations.documents.quotes.sentences import split_sentences
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.evaluation.tasks.rows import Row
from pace_integrations.evaluation.tasks.spec import TaskSpec
from pace_integrations.evaluation.tasks.words import random_names, random_number


def plant_facts(spec: TaskSpec) -> list[Row]:
    """Plant one invented fact on a page of the user's own files, at five depths in turn.

    Raises:
        ConfigError: No files are named.
        DocumentError: They hold no text.
    """
    if spec.on is None:
        raise ConfigError("the task 'planted' needs documents to plant facts in: name some with on")
    pages = [
        (_page_title(d.title, p.label), p.text) for d, p in Corpus.from_paths([spec.on]).pages()
    ]
    if not pages:
        raise DocumentError(f"{spec.on} holds no text to plant facts in")
    rows: list[Row] = []
    while len(rows) < spec.rows:
        rows += _build_rows(spec, len(rows), min(spec.together, spec.rows - len(rows)), pages)
    return rows


def _page_title(title: str, label: str | None) -> str:
    return f"{title}, page {label}" if label else title


def _build_rows(spec: TaskSpec, i: int, count: int, pages: list[tuple[str, str]]) -> list[Row]:
    """Plant some facts in one text; the first of them is number i."""
    rng = spec.random("planted", i)
    start, room = rng.randrange(len(pages)), spec.length
    documents: list[tuple[str, str]] = []
    for title, text in [*pages[start:], *pages[:start]]:
        if room <= 0:
            break
        size = max(spec.count(text), 1)
        # A page that is longer than what is left is cut, in proportion.
        documents.append((title, text if size <= room else text[: len(text) * room // size]))
        room -= size
    rows: dict[str, Row] = {}
    while len(rows) < count:
        depth = spec.depth(i + len(rows))
        statement, question, answer = _invent_fact(rng)
        if question in rows:
            continue
        at = round(depth * (len(documents) - 1))
        title, text = documents[at]
        documents[at] = (title, _insert_sentence(text, statement, depth))
        row = Row("planted", (), question, (answer,), metric="contains", gold=(at,))
        rows[question] = replace(row, length=spec.length, position=depth)
    return [replace(row, documents=tuple(documents)) for row in rows.values()]


def _invent_fact(rng: random.Random) -> tuple[str, str, str]:
    """Invent a statement, its question and its answer."""
    (person,), extension, code = random_names(rng, 1), random_number(rng, 4), random_number(rng, 6)
    return rng.choice(
        [
            (
                f"The phone extension of {person} is {extension}.",
                f"What is the phone extension of {person}?",
                extension,
            ),
            (
                f"The locker of {person} opens with the code {code}.",
                f"With which code does the locker of {person} open?",
                code,
            ),
            (
                f"The membership number of {person} is {code}.",
                f"What is the membership number of {person}?",
                code,
            ),
        ]
    )


def _insert_sentence(text: str, statement: str, depth: float) -> str:
    """Insert a statement into a text at the end of a sentence."""
    ends = [0, *(end for _, end in split_sentences(text))]
    at = ends[round(depth * (len(ends) - 1))]
    return f"{text[:at]} {statement} {text[at:].lstrip()}".strip()


__getattr__ = keep_renamed(__name__)
