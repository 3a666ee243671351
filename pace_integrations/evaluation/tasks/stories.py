"""Facts about people and things that move, told in long text (the form of bAbI and BABILong)."""

from __future__ import annotations

import random
from collections.abc import Callable

from pace_integrations.evaluation.tasks.haystack import build_haystack, filler_sentences
from pace_integrations.evaluation.tasks.rows import Row
from pace_integrations.evaluation.tasks.spec import TaskSpec

PEOPLE = ("Mary", "John", "Sandra", "Daniel")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
THINGS = ("apple", "football", "milk")
_MOVES = ("went to", "moved to", "travelled to", "journeyed to", "went back to")

Told = tuple[list[str], str, str]  # facts in order, question, answer


def make_one_fact(spec: TaskSpec) -> list[Row]:
    """Ask for the place of somebody who moved several times (bAbI 1)."""
    return [_build_row(spec, i, "babi_qa1", _tell_person) for i in range(spec.rows)]


def make_two_facts(spec: TaskSpec) -> list[Row]:
    """Ask for the place of something that somebody took along (bAbI 2)."""
    return [_build_row(spec, i, "babi_qa2", _tell_thing) for i in range(spec.rows)]


def _tell_person(rng: random.Random) -> Told:
    facts: list[str] = []
    at: dict[str, str] = {}
    for _ in range(8):
        who = rng.choice(PEOPLE)
        at[who] = rng.choice([place for place in PLACES if place != at.get(who)])
        facts.append(f"{who} {rng.choice(_MOVES)} the {at[who]}.")
    asked = rng.choice(list(at))
    return facts, f"Where is {asked}?", at[asked]


def _tell_thing(rng: random.Random) -> Told:
    who, other = rng.sample(PEOPLE, 2)
    thing = rng.choice(THINGS)
    first, second, third = rng.sample(PLACES, 3)
    facts = [
        f"{who} {rng.choice(_MOVES)} the {first}.",
        f"{who} picked up the {thing} there.",
        f"{other} {rng.choice(_MOVES)} the {third}.",
        f"{who} {rng.choice(_MOVES)} the {second}.",
    ]
    return facts, f"Where is the {thing}?", second


def _build_row(spec: TaskSpec, i: int, task: str, tell: Callable[[random.Random], Told]) -> Row:
    rng = spec.random(task, i)
    facts, question, answer = tell(rng)
    depths = sorted(rng.random() for _ in facts)
    hidden = list(zip(depths, facts, strict=True))
    hay = build_haystack(filler_sentences(spec.haystack, rng), hidden, spec.length, spec.count)
    return Row(
        task=task,
        documents=hay.documents,
        question=question,
        answers=(answer,),
        metric="label",
        length=spec.length,
        gold=hay.gold,
        extra={"classes": list(PLACES), "question": question},
    )
