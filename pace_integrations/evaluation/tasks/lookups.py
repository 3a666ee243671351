"""Look-ups among alike things: key-value pairs, and passages of which one holds the answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pace_integrations.evaluation.tasks.rows import Row
from pace_integrations.evaluation.tasks.spec import TaskSpec
from pace_integrations.evaluation.tasks.words import (
    ADJECTIVES,
    LAST,
    NOUNS,
    PLACES,
    random_names,
    random_number,
    random_sentence,
    random_uuid,
)

PAIRS = 5  # of a page


@dataclass(frozen=True)
class _Firm:
    """An invented firm: its name, and statements with what they answer."""

    name: str
    text: str
    facts: tuple[tuple[str, str], ...]


def make_key_values(spec: TaskSpec) -> list[Row]:
    """Ask for one of many pairs of identifiers (lost-in-the-middle, Retrieve.KV)."""
    return [_make_pairs_row(spec, i) for i in range(spec.rows)]


def make_passages(spec: TaskSpec) -> list[Row]:
    """Ask for what one passage of many holds, at five places in turn (lost-in-the-middle)."""
    return [_make_firms_row(spec, i, "mdqa", hops=1) for i in range(spec.rows)]


def make_questions(spec: TaskSpec) -> list[Row]:
    """Ask for what one passage of many holds, anywhere (RULER's QA over a single passage)."""
    return [_make_firms_row(spec, i, "qa", hops=1) for i in range(spec.rows)]


def make_two_hop(spec: TaskSpec) -> list[Row]:
    """Ask for what takes two passages: who manages whom, and where that one works (HotpotQA)."""
    return [_make_firms_row(spec, i, "qa_2hop", hops=2) for i in range(spec.rows)]


def paginate_pairs(
    pairs: Sequence[tuple[str, str]], at: int
) -> tuple[tuple[tuple[str, str], ...], int]:
    """Put pairs in pages, as lines of a JSON object, and tell which page holds pair number `at`."""
    lines = [f'"{k}": "{v}"' for k, v in pairs]
    pages = [",\n".join(lines[j : j + PAIRS]) for j in range(0, len(lines), PAIRS)]
    return tuple((f"records {n}", page) for n, page in enumerate(pages, 1)), at // PAIRS


def _make_pairs_row(spec: TaskSpec, i: int) -> Row:
    rng = spec.random("kv", i)
    each = max(spec.count(f'"{random_uuid(rng)}": "{random_uuid(rng)}",\n'), 1)
    pairs = [(random_uuid(rng), random_uuid(rng)) for _ in range(max(2, spec.length // each))]
    depth = spec.depth(i)
    at = round(depth * (len(pairs) - 1))
    pages, gold = paginate_pairs(pairs, at)
    return Row(
        task="kv",
        documents=pages,
        question=f"What is the value of {pairs[at][0]}?",
        answers=(pairs[at][1],),
        answer_prefix=f'The value associated with the key "{pairs[at][0]}" is',
        max_new_tokens=64,
        metric="contains",
        length=spec.length,
        position=depth,
        gold=(gold,),
    )


def _invent_firm(rng: random.Random, name: str) -> _Firm:
    founder, treasurer = random_names(rng, 2)
    year, place = str(rng.randrange(1801, 1999)), rng.choice(PLACES)
    code = random_number(rng, 5)
    question = f"What is the license number of {name}?"
    texts = [
        (f"{name} was founded by {founder} in {year}.", f"Who founded {name}?", founder),
        (f"{name} has its head office in {place}.", f"Where is the head office of {name}?", place),
        (f"The treasurer of {name} is {treasurer}.", f"Who is the treasurer of {name}?", treasurer),
        (f"The license number of {name} is {code}.", question, code),
    ]
    told = [text for text, _, _ in texts] + [random_sentence(rng) for _ in range(3)]
    rng.shuffle(told)
    return _Firm(name, " ".join(told), tuple((q, a) for _, q, a in texts))


def _make_firms_row(spec: TaskSpec, i: int, task: str, hops: int) -> Row:
    rng = spec.random(task, i)
    kinds = ("Mills", "Bakery", "Shipping", "Brewery", "Printers", "Tannery", "Pottery", "Rail")
    pool = [f"{last} {kind}" for last in LAST for kind in kinds]
    firms, room = [], spec.length
    for name in rng.sample(pool, len(pool)):
        firms.append(_invent_firm(rng, name))
        room -= spec.count(f"{name}\n{firms[-1].text}\n")
        if room <= 0 and len(firms) > hops:
            break
    depth = spec.depth(i) if task == "mdqa" else rng.random()
    at = round(depth * (len(firms) - 1))
    question, answer = rng.choice(firms[at].facts)
    documents, gold = [(firm.name, firm.text) for firm in firms], [at]
    if hops == 2:
        other = rng.choice([j for j in range(len(firms)) if j != at])
        thing = f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
        title, text = documents[other]
        documents[other] = (title, f"{text} The {thing} was made by {firms[at].name}.")
        question = question.replace(firms[at].name, f"the firm that made the {thing}")
        gold = sorted([at, other])
    return Row(
        task=task,
        documents=tuple(documents),
        question=question,
        answers=(answer,),
        answer_prefix="Answer:",
        metric="best_subspan",
        length=spec.length,
        position=depth,
        gold=tuple(gold),
    )
