"""Random subjects and values of planted facts."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

_WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(entries.split("|"))
    for name, entries in tomllib.loads(
        Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    ).items()
}
Choice = TypeVar("Choice")
ABBREVIATED = ("EUR {}", "USD {}", "${}", "£{}", "{} EUR")
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


@dataclass(frozen=True)
class Words:
    """Words of the prose that names are made of.

    Args:
        lower: Frequent words in lower case.
        upper: Frequent capitalised words.
    """

    lower: list[str]
    upper: list[str]


@dataclass(frozen=True)
class Maker:
    """Makes random phrases.

    Args:
        rng: Source of randomness.
        words: Words of the prose.
    """

    rng: np.random.Generator
    words: Words

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of `choices`."""
        return choices[int(self.rng.integers(len(choices)))]

    def below(self, end: int, start: int = 0) -> int:
        """Return a number from `start` up to but not including `end`."""
        return int(self.rng.integers(start, end))

    def chance(self, share: float) -> bool:
        """Return True in about `share` of all calls."""
        return bool(self.rng.random() < share)

    def word(self, kind: str) -> str:
        """Return a word of a list in `words.toml`."""
        return self.pick(_WORDS[kind])

    def verb(self) -> tuple[str, str]:
        """Return the base form and the past of a verb."""
        base, past = self.word("verb").split("/")
        return base, past

    def make(self, kind: str) -> str:
        """Return a phrase of `kind`."""
        return KINDS[kind](self)


def _person(m: Maker) -> str:
    last = m.pick(_WORDS["last"]) if m.chance(0.6) else m.pick(m.words.upper)
    first = m.pick(_WORDS["first"])
    return m.pick((f"{first} {last}", f"{first} {last}", f"Dr. {last}", f"Ms. {last}", first))


def _company(m: Maker) -> str:
    stem = m.pick(
        (
            m.pick(_WORDS["last"]),
            m.pick(_WORDS["project"]),
            m.pick(m.words.upper),
            m.pick(m.words.upper),
        )
    )
    return f"{stem} {m.pick(_WORDS['firm'])}"


def _place(m: Maker) -> str:
    name = m.pick(
        (
            m.pick(_WORDS["last"]),
            m.pick(_WORDS["street"]) + " Street",
            m.pick(m.words.upper),
            m.pick(_WORDS["city"]),
        )
    )
    return f"the {name} {m.pick(_WORDS['building'])}"


def _project(m: Maker) -> str:
    name = m.pick(_WORDS["project"]) if m.chance(0.5) else m.pick(m.words.upper)
    return m.pick((f"Project {name}", f"the {name} project", f"the {name} study"))


def _product(m: Maker) -> str:
    model = f"{m.pick(LETTERS)}{m.pick(LETTERS)}-{m.below(1000, 10)}"
    thing = m.pick(_WORDS["thing"])
    return m.pick((f"the {thing}", f"the {model}", f"the {model} {thing}", f"Model {model}"))


def _thing(m: Maker) -> str:
    return f"the {m.pick(m.words.lower)} {m.pick(_WORDS['thing'])}"


def _invoice(m: Maker) -> str:
    return f"invoice {m.below(99999, 100)}"


def _words(m: Maker) -> str:
    count = m.below(4, 1)
    return m.pick((" ", "-", " ")).join(m.pick(m.words.lower) for _ in range(count))


def _uuid(m: Maker) -> str:
    digits = "".join(m.pick("0123456789abcdef") for _ in range(32))
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _hex(m: Maker) -> str:
    return _uuid(m) if m.chance(0.2) else _uuid(m)[: m.below(14, 4)].strip("-")


def _duration(m: Maker) -> str:
    unit = m.pick(("days", "weeks", "months", "years", "hours", "minutes", "working days"))
    number = m.pick(_WORDS["number"]) if m.chance(0.25) else str(m.below(100, 2))
    return f"{number} {unit}"


def _amount(m: Maker) -> str:
    value = m.below(10 ** m.below(7, 2), 2)
    if m.chance(0.15):
        return f"{value:,}.{m.below(100):02d}"
    return f"{value:,}" if m.chance(0.7) else str(value)


def _money(m: Maker) -> str:
    if m.chance(0.12):
        return f"{m.below(100, 1)}.{m.below(10)} million {m.pick(_WORDS['money'])}"
    if m.chance(0.7):
        return f"{_amount(m)} {m.pick(_WORDS['money'])}"
    return m.pick(ABBREVIATED).format(_amount(m))


def _year(m: Maker) -> str:
    return str(m.below(2031, 1780))


def _date(m: Maker) -> str:
    day, month, year = m.below(29, 1), m.below(13, 1), m.below(2032, 1950)
    name = _WORDS["month"][month - 1]
    long = (f"{day} {name} {year}", f"{name} {day}, {year}", f"{day} {name}", f"{name} {year}")
    return m.pick((*long, long[0], long[1], f"{year}-{month:02d}-{day:02d}"))


def _count(m: Maker) -> str:
    if m.chance(0.25):
        return m.pick(_WORDS["number"])
    return f"{m.below(10 ** m.below(6, 1), 1):,}"


def _percent(m: Maker) -> str:
    number = str(m.below(100, 1)) if m.chance(0.5) else f"{m.below(30)}.{m.below(10)}"
    return m.pick((f"{number}%", f"{number} percent"))


def _measure(*units: str) -> Callable[[Maker], str]:
    def make(m: Maker) -> str:
        number = f"{m.below(1000, 1)}" if m.chance(0.7) else f"{m.below(100)}.{m.below(10)}"
        return f"{number} {m.pick(units)}"

    return make


def _clock(m: Maker) -> str:
    hour, minute = m.below(13, 1), m.pick(("00", "15", "30", "45"))
    return m.pick(
        (f"{hour}:{minute}", f"{hour}:{minute} pm", f"{hour} am", f"{hour + 11}:{minute}")
    )


def _code(m: Maker) -> str:
    letters = "".join(m.pick(LETTERS) for _ in range(m.below(4, 1)))
    number = m.below(10 ** m.below(7, 2), 10)
    return m.pick((f"{letters}-{number}", f"{letters}{number}", f"{number}-{letters}"))


def _digits(m: Maker) -> str:
    return str(m.below(10 ** m.below(8, 3), 100))


def _email(m: Maker) -> str:
    user = m.pick((m.pick(_WORDS["first"]), m.pick(_WORDS["last"]), m.pick(m.words.lower))).lower()
    return f"{user}@{m.pick(m.words.lower)}.{m.pick(('com', 'org', 'net', 'eu'))}"


def _phone(m: Maker) -> str:
    return f"{m.below(1000, 100)}-{m.below(10000, 1000)}"


def _noun(m: Maker) -> str:
    return m.pick(m.words.lower) if m.chance(0.6) else f"{m.pick(m.words.lower)} {_noun(m)}"


def _name(m: Maker) -> str:
    return m.pick(m.words.upper) if m.chance(0.6) else f"{m.pick(m.words.upper)} {_name(m)}"


def _any(m: Maker) -> str:
    kinds = ("noun", "noun", "name", "name", "digits", "person", "date", "money", "code", "city")
    return m.make(m.pick(kinds))


KINDS: dict[str, Callable[[Maker], str]] = {
    "person": _person,
    "company": _company,
    "place": _place,
    "project": _project,
    "product": _product,
    "thing": _thing,
    "invoice": _invoice,
    "words": _words,
    "uuid": _uuid,
    "hex": _hex,
    "hexkey": _hex,
    "duration": _duration,
    "money": _money,
    "year": _year,
    "date": _date,
    "count": _count,
    "percent": _percent,
    "weight": _measure("kg", "kilograms", "grams", "tonnes", "pounds"),
    "length": _measure("m", "cm", "metres", "millimetres", "feet", "inches"),
    "area": _measure("square metres", "m2", "square feet", "hectares"),
    "temperature": _measure("degrees", "degrees Celsius", "°C"),
    "power": _measure("watts", "kW", "kilowatts"),
    "distance": _measure("km", "kilometres", "miles", "metres"),
    "clock": _clock,
    "weekday": lambda m: m.pick(_WORDS["weekday"]),
    "code": _code,
    "digits": _digits,
    "email": _email,
    "phone": _phone,
    "colour": lambda m: m.pick(_WORDS["colour"]),
    "material": lambda m: m.pick(_WORDS["material"]),
    "job": lambda m: m.pick(_WORDS["job"]),
    "city": lambda m: m.pick(_WORDS["city"]) if m.chance(0.6) else m.pick(m.words.upper),
    "room": lambda m: f"room {m.below(500, 1)}" if m.chance(0.6) else f"the {_noun(m)} room",
    "address": lambda m: f"{m.below(200, 1)} {m.pick(_WORDS['street'])} Street",
    "noun": _noun,
    "name": _name,
    "any": _any,
}
