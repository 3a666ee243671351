"""Questions that two pages answer together: about the maker of a work, a relative; comparisons."""

import random
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recipes.train_nano.values import Maker, Words
from recipes.train_small.material import LISTS, Asked, Passage

# What is made, who makes it, and how an article says so.
WORKS = (
    ("film", "director", "directed by"),
    ("novel", "author", "written by"),
    ("album", "performer", "recorded by"),
    ("opera", "composer", "composed by"),
    ("song", "performer", "recorded by"),
    ("play", "author", "written by"),
    ("television series", "creator", "created by"),
    ("painting", "painter", "painted by"),
)
RELATIVES = {
    "father": "the child of {}, a merchant",
    "mother": "the child of {}, a teacher",
    "spouse": "married to {}",
    "child": "the parent of {}",
}
ASKED = (
    ("When was {x} born?", "born"),
    ("What is the date of birth of {x}?", "born"),
    ("When did {x} die?", "died"),
    ("Where was {x} born?", "town"),
    ("What is the place of birth of {x}?", "town"),
    ("Where did {x} die?", "grave"),
    ("What nationality is {x}?", "nation"),
    ("Which country is {x} from?", "nation"),
    ("Who is the {r} of {x}?", "relative"),
    ("Who is {x}'s {r}?", "relative"),
)


SAME = (
    "Are {a} and {b} from the same country?",
    "Do {a} and {b} have the same nationality?",
    "Were {a} and {b} of the same nationality?",
)


@dataclass(frozen=True)
class Life:
    """A person with what the article says.

    Args:
        name: The name.
        year: Year of birth.
        values: What can be asked, by name.
        article: The article.
    """

    name: str
    year: int
    values: dict[str, str]
    article: Passage


@dataclass(frozen=True)
class Work:
    """A work with its maker.

    Args:
        name: What it is and its title.
        year: Year of its appearance.
        role: What its maker is called.
        life: The maker.
        article: The article.
    """

    name: str
    year: int
    role: str
    life: Life
    article: Passage


class Hops:
    """Draws small collections of articles whose questions need two of them.

    Args:
        words: Words that names are made of.
    """

    def __init__(self, words: Words) -> None:
        self._words = words

    def draw(self, rng: random.Random, count: int) -> list[Passage]:
        """Draw articles; the questions hang on the article that states the answer."""
        maker = Maker(np.random.default_rng(rng.getrandbits(63)), self._words)
        made: list[Passage] = []
        lives: list[Life] = []
        works: list[Work] = []
        while len(made) < max(4, count):
            lives.append(_live(rng, maker))
            if rng.random() < 0.7:
                works.append(_work(rng, maker, lives[-1]))
                made.append(works[-1].article)
            else:
                made.append(_relative(rng, maker, lives[-1]))
            made.append(lives[-1].article)
        for one, other in pairwise(lives):
            _compare(rng, one, other)
        for first, second in pairwise(works):
            _compare_works(rng, first, second)
        return made


def _name(rng: random.Random, maker: Maker) -> str:
    last = maker.word("last") if rng.random() < 0.3 else maker.pick(maker.words.upper)
    return f"{maker.word('first')} {last}"


def _day(rng: random.Random, year: int) -> str:
    day, month = rng.randint(1, 28), rng.choice(LISTS["month"])
    return f"{day} {month} {year}" if rng.random() < 0.6 else f"{month} {day}, {year}"


def _live(rng: random.Random, maker: Maker) -> Life:
    """Write a person's article."""
    name, year = _name(rng, maker), rng.randint(1850, 1960)
    relation, telling = rng.choice(list(RELATIVES.items()))
    values = {
        "born": _day(rng, year),
        "died": _day(rng, rng.randint(1961, 2024)),
        "town": maker.make("city"),
        "grave": maker.make("city"),
        "nation": rng.choice(LISTS["nation"]),
        "relative": _name(rng, maker),
        "r": relation,
    }
    job = rng.choice(LISTS["life"])
    article = "an" if values["nation"][0] in "AEIOU" else "a"
    first, last = name.split()[0], name.split()[-1]
    text = (
        f"{name} ({values['born']} – {values['died']}) was {article} {values['nation']} {job}. "
        f"{first} was born in {values['town']} and died in {values['grave']}. "
        f"{rng.choice(('He', 'She', last))} was {telling.format(values['relative'])}."
    )
    life = Life(name, year, values, Passage(name, None, text))
    _ask(rng, life, name, "", 2)
    return life


def _ask(rng: random.Random, life: Life, through: str, also: str, count: int) -> None:
    """Ask about a person, by name or through another article."""
    key = f"{life.name} ({life.values['born']}"
    for question, value in rng.sample(ASKED, count):
        posed = question.format(x=through, r=life.values["r"])
        life.article.asked.append(Asked(posed, life.values[value], key, also=also))


def _work(rng: random.Random, maker: Maker, life: Life) -> Work:
    """Write the article of a work, and ask about its maker."""
    kind, role, by = rng.choice(WORKS)
    noun = maker.make("noun").title()
    title = rng.choice((f"The {noun}", f"{maker.pick(maker.words.upper)} {noun}", noun))
    year, nation = rng.randint(1920, 2020), rng.choice(LISTS["nation"])
    manner = rng.choice(("warmly", "coolly", "with mixed feelings", "with praise"))
    text = (
        f"{title} is a {year} {nation} {kind} {by} {life.name}. "
        f"It was received {manner} in {maker.make('city')}."
    )
    _ask(rng, life, f"the {role} of the {kind} {title}", f"{by} {life.name}", 5)
    own = [
        Asked(f"Who is the {role} of the {kind} {title}?", life.name, title),
        Asked(f"When did the {kind} {title} come out?", str(year), title),
    ]
    return Work(f"{kind} {title}", year, role, life, Passage(title, None, text, own))


def _relative(rng: random.Random, maker: Maker, life: Life) -> Passage:
    """Write the article of somebody near, and ask about the person through it."""
    other, day = _name(rng, maker), _day(rng, rng.randint(1870, 1990))
    link = rng.choice(("father", "mother", "spouse", "teacher"))
    text = (
        f"{other} (born {day}) is a {rng.choice(LISTS['life'])} from {maker.make('city')}. "
        f"The {link} of {other} was {life.name}."
    )
    through = rng.choice((f"the {link} of {other}", f"{other}'s {link}"))
    _ask(rng, life, through, f"The {link} of {other} was", 5)
    own = [
        Asked(f"When was {other} born?", day, other),
        Asked(f"Who was the {link} of {other}?", life.name, f"The {link} of {other}"),
    ]
    return Passage(other, None, text, own)


def _compare(rng: random.Random, one: Life, other: Life) -> None:
    """Ask which of two people is older or younger, or whether they share a country."""
    same = "yes" if one.values["nation"] == other.values["nation"] else "no"
    key = f"{one.name} ({one.values['born']}"
    question = rng.choice(SAME).format(a=one.name, b=other.name)
    also = other.article.text[:60]
    one.article.asked.append(Asked(question, same, key, also=also, free=True))
    if one.year == other.year:
        return
    first, last = sorted((one, other), key=lambda life: life.year)
    choices = (("born first", 0), ("older", 0), ("younger", 1), ("born later", 1))
    word, index = rng.choice(choices)
    right, wrong = ((first, last), (last, first))[index]
    question = f"Who was {word}, {one.name} or {other.name}?"
    also = wrong.article.text[:60]
    right.article.asked.append(Asked(question, right.name, right.name, (wrong.name,), also))


def _compare_works(rng: random.Random, one: Work, other: Work) -> None:
    """Ask which of two works is older."""
    if one.year == other.year:
        return
    first, last = sorted((one, other), key=lambda work: work.year)
    word, right, wrong = rng.choice((("first", first, last), ("later", last, first)))
    question = f"Which came out {word}, the {one.name} or the {other.name}?"
    title, also = right.article.title, wrong.article.text[:60]
    right.article.asked.append(Asked(question, title, title, (wrong.article.title,), also))
