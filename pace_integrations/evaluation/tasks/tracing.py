"""RULER's tracing and counting tasks (arXiv 2404.06654): variables, common and frequent words."""

from __future__ import annotations

import random
import string
from itertools import pairwise

from pace_integrations.evaluation.tasks.haystack import PAGE, build_haystack, filler_sentences
from pace_integrations.evaluation.tasks.rows import Row
from pace_integrations.evaluation.tasks.spec import TaskSpec
from pace_integrations.evaluation.tasks.words import ADJECTIVES, NOUNS, VERBS, random_number

HOPS = 4
COMMON = 10


def make_variables(spec: TaskSpec) -> list[Row]:
    """Ask for all variables of one chain in noise that hold its value."""
    return [_make_chain_row(spec, i) for i in range(spec.rows)]


def make_common_words(spec: TaskSpec) -> list[Row]:
    """Ask for the ten words that a list has ten times as often as the others."""
    return [_make_common_row(spec, i) for i in range(spec.rows)]


def make_frequent_words(spec: TaskSpec) -> list[Row]:
    """Ask for the three most frequent of made-up words whose frequencies follow Zipf's law."""
    return [_make_frequent_row(spec, i) for i in range(spec.rows)]


def _make_chain_row(spec: TaskSpec, i: int) -> Row:
    rng = spec.random("vt", i)
    names = _random_words(rng, HOPS + 1, 5, string.ascii_uppercase)
    value = random_number(rng, 5)
    steps = [f"VAR {names[0]} = {value}."]
    steps += [f"VAR {b} = VAR {a}." for a, b in pairwise(names)]
    depths = sorted(rng.random() for _ in steps)
    filler = filler_sentences("noise", rng)
    hay = build_haystack(filler, list(zip(depths, steps, strict=True)), spec.length, spec.count)
    found = f"{len(names)} variables are assigned the value {value}, they are:"
    return Row(
        task="vt",
        documents=hay.documents,
        question=f"Find all variables that are assigned the value {value} in the text above.",
        answers=tuple(names),
        answer_prefix="Answer: According to the chain(s) of variable assignment in the text "
        f"above, {found}",
        max_new_tokens=30,
        metric="contains_all",
        length=spec.length,
        gold=hay.gold,
    )


def _make_common_row(spec: TaskSpec, i: int) -> Row:
    rng = spec.random("cwe", i)
    # RULER's 30 to 3, less of both where a list is too short for it.
    often = max(4, min(30, spec.length // 130))
    seldom = max(1, often // 10)
    plain = [*ADJECTIVES, *NOUNS, *VERBS]
    joined = [f"{a}-{n}" for a in ADJECTIVES for n in NOUNS]
    pool = rng.sample(plain, len(plain)) + rng.sample(joined, len(joined))
    common, words = pool[:COMMON], pool[:COMMON] * often
    room = spec.length - sum(spec.count(f"{n}. {w} ") for n, w in enumerate(words, 1))
    for word in pool[COMMON:]:
        room -= seldom * spec.count(f"100. {word} ")
        if room < 0:
            break
        words += [word] * seldom
    rng.shuffle(words)
    return Row(
        task="cwe",
        documents=_paginate_words([f"{n}. {word}" for n, word in enumerate(words, 1)], spec),
        question="What are the 10 most common words in the above list?",
        answers=tuple(common),
        answer_prefix="Answer: The top 10 words that appear most often in the list are:",
        max_new_tokens=120,
        metric="contains_all",
        length=spec.length,
    )


def _make_frequent_row(spec: TaskSpec, i: int) -> Row:
    rng = spec.random("fwe", i)
    pool = _random_words(rng, 200, 6, string.ascii_lowercase)
    # Each word stands floor(total / (zeta(2) rank^2)) times; the total grows to the length.
    words: list[str] = []
    total = 0
    while not words or spec.count(" ".join(words)) < spec.length:
        total += 25
        words = [w for k, w in enumerate(pool, 1) for _ in range(int(total / (1.645 * k * k)))]
    rng.shuffle(words)
    question = "What are the three most frequently appeared words in the above coded text?"
    return Row(
        task="fwe",
        documents=_paginate_words(words, spec),
        question=question,
        answers=tuple(pool[:3]),
        answer_prefix="Answer: According to the coded text above, the three most frequently "
        "appeared words are:",
        max_new_tokens=50,
        metric="contains_all",
        length=spec.length,
    )


def _random_words(rng: random.Random, count: int, size: int, alphabet: str) -> list[str]:
    """Draw different words of random letters."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choices(alphabet, k=size))] = None
    return list(found)


def _paginate_words(words: list[str], spec: TaskSpec) -> tuple[tuple[str, str], ...]:
    """Cut a list of words into documents of about a page."""
    size = max(1, PAGE * len(words) // max(spec.count(" ".join(words)), 1))
    parts = [" ".join(words[i : i + size]) for i in range(0, len(words), size)]
    return tuple((f"list {n}", part) for n, part in enumerate(parts, 1))
