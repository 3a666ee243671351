"""Values of one kind in one style, as a page that is dense with them has them."""

import random
from collections.abc import Callable

from recipes.train_nano.values import KINDS, Maker
from recipes.train_small.material import LISTS

UNITS = {
    "length": ("cm", "mm", "inches", "in", "m", "feet", "cm", "inches"),
    "weight": ("kg", "g", "lb", "grams", "mg", "tonnes", "ounces"),
    "power": ("W", "watts", "kW", "hp"),
    "voltage": ("V", "volts", "kV"),
    "temperature": ("°C", "°F", "degrees", "degrees Celsius"),
    "area": ("m2", "square feet", "km2", "hectares", "sq. m", "acres"),
    "distance": ("km", "miles", "m", "kilometers"),
    "points": ("pt", "points", "point"),
    "seconds": ("s", "seconds", "ms", "sec", ""),
    "bytes": ("MB", "GB", "KB", "MiB", "GiB", "k", "M"),
    "duration": ("days", "weeks", "months", "years", "hours", "minutes", "working days"),
}
MONEY = (
    "${}",
    "$ {}",
    "{} dollars",
    "USD {}",
    "{} euros",
    "EUR {}",
    "€{}",
    "£{}",
    "{} CHF",
    "{}",
    "{}",
)


def make_style(rng: random.Random, maker: Maker, kind: str) -> Callable[[], str]:
    """Return a maker of values of one kind in one style of writing."""
    if kind in UNITS:
        return _measured(rng, rng.choice(UNITS[kind]), small=kind == "points")
    if kind == "money":
        form, cents = rng.choice(MONEY), rng.random() < 0.5
        size = rng.randint(2, 6)

        def money() -> str:
            number = f"{rng.randint(1, 10**size):,}"
            return form.format(f"{number}.{rng.randint(0, 99):02d}" if cents else number)

        return money
    if kind == "percent":
        form = rng.choice(("{}%", "{} %", "{} percent", "{}%"))
        decimal = rng.random() < 0.5
        return lambda: form.format(round(rng.uniform(0, 99), 1) if decimal else rng.randint(1, 99))
    if kind == "count":
        size, comma = rng.randint(1, 7), rng.random() < 0.7
        return lambda: f"{rng.randint(1, 10**size):,}" if comma else str(rng.randint(1, 10**size))
    if kind == "date":
        return _dated(rng)
    if kind == "clock":
        form = rng.choice(("{}:{}", "{}:{} p.m.", "{}.{}", "{}:{} am", "{}:{}h"))
        return lambda: form.format(rng.randint(1, 12), f"{rng.randint(0, 59):02d}")
    return lambda: coin(rng, maker, kind)


def _measured(rng: random.Random, unit: str, *, small: bool) -> Callable[[], str]:
    decimal = rng.random() < 0.45
    size = 40 if small else rng.choice((10, 50, 100, 1000))
    tight = "" if unit in ("°C", "°F", "k", "M", "s", "ms") and rng.random() < 0.6 else " "

    def measure() -> str:
        number = (
            f"{rng.uniform(0.1, size):.{rng.choice((1, 2))}f}"
            if decimal
            else str(rng.randint(1, size))
        )
        return f"{number}{tight}{unit}".strip()

    return measure


def _dated(rng: random.Random) -> Callable[[], str]:
    forms = (
        "{m} {d}, {y}",
        "{d} {m} {y}",
        "{y}-{n:02d}-{d:02d}",
        "{n:02d}/{d:02d}/{y}",
        "{d:02d}.{n:02d}.{y}",
        "{s}. {d}, {y}",
        "{m} {d}",
    )
    form, first, span = rng.choice(forms), rng.randint(1900, 2025), rng.choice((0, 1, 30))

    def date() -> str:
        month = rng.randint(1, 12)
        return form.format(
            m=LISTS["month"][month - 1],
            s=LISTS["month"][month - 1][:3],
            n=month,
            d=rng.randint(1, 28),
            y=first + rng.randint(0, span),
        )

    return date


def coin(rng: random.Random, maker: Maker, kind: str) -> str:
    """Make a phrase of a kind that has no style."""
    if kind in COINED:
        return COINED[kind](rng, maker)
    if kind in LISTS:
        return rng.choice(LISTS[kind])
    return KINDS[kind](maker)


def make_person(rng: random.Random, maker: Maker) -> str:
    """Make a person's name: always with a first name, an initial or a title."""
    last = maker.word("last") if rng.random() < 0.4 else maker.pick(maker.words.upper)
    first, initial = maker.word("first"), rng.choice("ABCDEFGHJKLMNPRSTW")
    forms = (
        f"{first} {last}",
        f"{first} {last}",
        f"{first} {initial}. {last}",
        f"{initial}. {last}",
        f"Dr. {first} {last}",
        f"{last}, {first}",
    )
    return rng.choice(forms)


def _article(rng: random.Random, maker: Maker) -> str:
    thing = rng.choice(LISTS["article"])
    if rng.random() < 0.4:
        return thing
    before = (maker.make("colour"), maker.make("material"), maker.pick(maker.words.lower))
    return f"{rng.choice(before)} {thing}"


def _option(rng: random.Random, maker: Maker) -> str:
    stem = rng.choice(LISTS["verb"])
    if rng.random() < 0.5:
        before = ("max", "min", "no", "default", maker.pick(maker.words.lower))
        stem = f"{rng.choice(before)}-{stem}"
    return f"--{stem}" if rng.random() < 0.6 else stem.replace("-", "_")


def _title(rng: random.Random, maker: Maker) -> str:
    noun, name = maker.make("noun"), maker.pick(maker.words.upper)
    forms = (
        f"The {noun} of {name}",
        f"{noun.capitalize()} and {maker.make('noun')}",
        f"A history of {name}",
        f"On {noun}",
        f"{name} {noun}",
    )
    return rng.choice(forms)


def _device(rng: random.Random, maker: Maker) -> str:
    letters = "ABCDEFGHKLMNPRSTX"
    return f"{rng.choice(letters)}{rng.choice(letters)}-{rng.randint(1, 10 ** rng.randint(1, 4))}"


def _path(rng: random.Random, maker: Maker) -> str:
    names = [maker.pick(maker.words.lower) for _ in range(rng.randint(1, 3))]
    root = rng.choice(("etc", "var", "usr/share", "home", "opt", "srv"))
    return "/" + "/".join([root, *names]) + rng.choice(("", ".conf", ".log", ".ini", ""))


COINED: dict[str, Callable[[random.Random, Maker], str]] = {
    "person": make_person,
    "article": _article,
    "option": _option,
    "title": _title,
    "building": lambda rng, maker: maker.make("place").removeprefix("the "),
    "device": _device,
    "version": lambda rng, maker: ".".join(
        str(rng.randint(0, 15)) for _ in range(rng.choice((2, 2, 3)))
    ),
    "switch": lambda rng, maker: rng.choice(("on", "off", "yes", "no", "true", "false")),
    "path": _path,
}
