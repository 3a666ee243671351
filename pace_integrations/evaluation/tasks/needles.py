"""Needles in haystacks: a grid of length and depth, and RULER's variants (arXiv 2404.06654)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from pace_integrations.evaluation.tasks.haystack import Haystack, build_haystack, filler_sentences
from pace_integrations.evaluation.tasks.rows import Row
from pace_integrations.evaluation.tasks.spec import TaskSpec
from pace_integrations.evaluation.tasks.words import (
    ADJECTIVES,
    NOUNS,
    random_key,
    random_number,
    random_uuid,
)

Value = Callable[[random.Random], str]


def make_needle_grid(spec: TaskSpec) -> list[Row]:
    """Ask for one plain fact at five depths in turn (needle in a haystack)."""
    rows: list[Row] = []
    while len(rows) < spec.rows:
        rng, facts = spec.random("niah", len(rows)), dict[str, tuple[float, str]]()
        while len(facts) < min(spec.together, spec.rows - len(rows)):
            thing = f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
            facts.setdefault(thing, (spec.depth(len(rows) + len(facts)), random_number(rng, 5)))
        texts = {thing: f"The access code of the {thing} is {f[1]}." for thing, f in facts.items()}
        hidden = [(facts[thing][0], text) for thing, text in texts.items()]
        filler = filler_sentences(spec.haystack, rng)
        hay = build_haystack(filler, hidden, spec.length, spec.count)
        for thing, (depth, code) in facts.items():
            question = f"What is the access code of the {thing}?"
            own = replace(
                hay, gold=tuple(i for i in hay.gold if texts[thing] in hay.documents[i][1])
            )
            rows.append(_build_row("niah", spec, own, question, (code,), position=depth))
    return rows


def _single_task(name: str, kind: str, value: Value, word: str) -> Callable[[TaskSpec], list[Row]]:
    """Make RULER's single needle, in noise or in text, with a number or an identifier."""
    return _ruler_task(name, kind, value, word, keys=1, values=1, queries=1)


def _ruler_task(
    name: str, kind: str, value: Value, word: str, *, keys: int, values: int, queries: int
) -> Callable[[TaskSpec], list[Row]]:
    def make_rows(spec: TaskSpec) -> list[Row]:
        return [make_row(spec, i) for i in range(spec.rows)]

    def make_row(spec: TaskSpec, i: int) -> Row:
        rng = spec.random(name, i)
        # Values of one key are different, and so are the keys.
        found = {random_key(rng): [value(rng) for _ in range(values)] for _ in range(keys)}
        while len(found) < keys:
            found[random_key(rng)] = [value(rng) for _ in range(values)]
        asked = rng.sample(list(found), queries)
        pairs = [(k, v) for k, vs in found.items() for v in vs]
        places = [spec.depth(i)] if len(pairs) == 1 else [rng.random() for _ in pairs]
        texts = [_needle_sentence(word, k, v) for k, v in pairs]
        filler = filler_sentences("noise" if kind == "noise" else spec.haystack, rng)
        hay = build_haystack(filler, list(zip(places, texts, strict=True)), spec.length, spec.count)
        wanted = tuple(v for k in asked for v in found[k])
        at = [p for p, (k, _) in zip(places, pairs, strict=True) if k in asked]
        question, prefix = _ask_for(word, asked, len(wanted))
        return _build_row(
            name, spec, hay, question, wanted, prefix=prefix, position=sum(at) / len(at), tokens=128
        )

    return make_rows


def _crowded_task(
    name: str, value: Value, word: str, name_of: Value
) -> Callable[[TaskSpec], list[Row]]:
    """Make RULER's needle in a haystack of needles with other keys."""

    def other_needles(rng: random.Random, asked: str) -> Iterator[str]:
        while True:
            if (other := name_of(rng)) != asked:
                yield _needle_sentence(word, other, value(rng))

    def make_row(spec: TaskSpec, i: int) -> Row:
        rng, depth = spec.random(name, i), spec.depth(i)
        asked, wanted = name_of(rng), value(rng)
        hidden = [(depth, _needle_sentence(word, asked, wanted))]
        hay = build_haystack(other_needles(rng, asked), hidden, spec.length, spec.count)
        question, prefix = _ask_for(word, [asked], 1)
        return _build_row(
            name, spec, hay, question, (wanted,), prefix=prefix, position=depth, tokens=128
        )

    return lambda spec: [make_row(spec, i) for i in range(spec.rows)]


def _needle_sentence(word: str, name: str, value: str) -> str:
    return f"One of the special magic {word}s for {name} is: {value}."


def _ask_for(word: str, asked: list[str], wanted: int) -> tuple[str, str]:
    """Return RULER's question, and how it begins the answer."""
    names = asked[0] if len(asked) == 1 else ", ".join(asked[:-1]) + f", and {asked[-1]}"
    if wanted == 1:
        topic = f"the special magic {word} for {names} mentioned in the provided text"
        return f"What is {topic}?", f"{topic[0].upper()}{topic[1:]} is"
    topic = f"the special magic {word}s for {names} mentioned in the provided text"
    return f"What are all {topic}?", f"{topic[0].upper()}{topic[1:]} are"


def _build_row(
    task: str,
    spec: TaskSpec,
    hay: Haystack,
    question: str,
    answers: tuple[str, ...],
    *,
    position: float,
    prefix: str = "",
    tokens: int = 32,
) -> Row:
    return Row(
        task=task,
        documents=hay.documents,
        question=question,
        answers=answers,
        answer_prefix=prefix,
        max_new_tokens=tokens,
        metric="contains_all",
        length=spec.length,
        position=position,
        gold=hay.gold,
    )


# What is asked, and how its rows are made.
RULER: dict[str, tuple[str, Callable[[TaskSpec], list[Row]]]] = {
    "niah_single_1": (
        "a number in noise",
        _single_task("niah_single_1", "noise", random_number, "number"),
    ),
    "niah_single_2": (
        "a number in text",
        _single_task("niah_single_2", "text", random_number, "number"),
    ),
    "niah_single_3": (
        "an identifier in text",
        _single_task("niah_single_3", "text", random_uuid, "uuid"),
    ),
    "niah_multikey": (
        "one of four keys",
        _ruler_task("niah_multikey", "text", random_number, "number", keys=4, values=1, queries=1),
    ),
    "niah_multikey_2": (
        "one number among needles alone",
        _crowded_task("niah_multikey_2", random_number, "number", random_key),
    ),
    "niah_multikey_3": (
        "one identifier among needles alone",
        _crowded_task("niah_multikey_3", random_uuid, "uuid", random_uuid),
    ),
    "niah_multivalue": (
        "four values of one key",
        _ruler_task(
            "niah_multivalue", "text", random_number, "number", keys=1, values=4, queries=1
        ),
    ),
    "niah_multiquery": (
        "the values of four keys",
        _ruler_task(
            "niah_multiquery", "text", random_number, "number", keys=4, values=1, queries=4
        ),
    ),
}
