"""Pages of records: appearances, references, options, contents, ledgers, chronicles, letters."""

import random
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.train_nano.facts import Fact, make_facts
from recipes.train_nano.values import Maker, Words
from recipes.train_small.material import FILES, Asked, Passage, fold_spaces
from recipes.train_small.phrases import coin, make_person, make_style

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SLOT = re.compile(r"{(\w+)}")
Line = tuple[str, list[Asked]]


@dataclass(frozen=True)
class Kind:
    """A kind of page, as `records.toml` describes it."""

    titles: tuple[str, ...]
    opening: tuple[str, ...]
    rows: tuple[int, int]
    forms: tuple[str, ...]
    slots: dict[str, str]
    questions: dict[str, list[str]]
    upper: tuple[str, ...] = ()


def read_kinds() -> tuple[list[Kind], dict[str, list[str]]]:
    """Read the kinds of pages and the lists of words."""
    read = tomllib.loads(Path(__file__).with_name("records.toml").read_text(encoding="utf-8"))
    lists = {name: words.split("|") for name, words in read["lists"].items()}
    return [_kind(page) for page in read["page"]], lists


def _kind(page: dict[str, Any]) -> Kind:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in page.items()}
    return Kind(**given)


class Records:
    """Draws pages of records.

    Args:
        words: Words that names are made of.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._kinds, self._lists = read_kinds()

    def draw(self, rng: random.Random, count: int) -> list[Passage]:
        """Draw passages of one or a few documents."""
        made: list[Passage] = []
        while len(made) < count:
            maker = Maker(np.random.default_rng(rng.getrandbits(63)), self._words)
            if rng.random() < 0.3:
                title, lines, unknown = rng.choice((letter, minutes, facts, facts))(rng, maker)
            else:
                title, lines, unknown = self._page(rng, maker)
            made += paged(rng, rng.choice(FILES) if rng.random() < 0.4 else title, lines, unknown)
        return made[:count]

    def _page(self, rng: random.Random, maker: Maker) -> tuple[str, list[Line], list[str]]:
        kind = rng.choice(self._kinds)
        form = rng.choice(kind.forms)
        makers = {slot: self._maker(rng, maker, what) for slot, what in kind.slots.items()}
        capitals = kind.upper if rng.random() < 0.6 else ()
        rows = self._rows(makers, rng.randint(*kind.rows) + 2)
        shown, absent = rows[:-2], rows[-2:]
        columns = {slot: [_cased(row[slot], slot in capitals) for row in shown] for slot in makers}
        lines: list[Line] = [(rng.choice(kind.opening), [])]
        lines = [line for line in lines if line[0]]
        for row in shown:
            text = form.format(**{s: _cased(v, s in capitals) for s, v in row.items()})
            asked = []
            for slot in SLOT.findall(form):
                if slot in kind.questions and rng.random() < 0.7:
                    question = _posed(rng, kind.questions[slot], row, shown)
                    own = _cased(row[slot], slot in capitals)
                    others = tuple(v for v in columns[slot] if v != own)
                    asked += [Asked(question, own, fold_spaces(text), others)] if question else []
            lines.append((text, asked))
        slots = [s for s in kind.questions if s in form]
        unknown = [_posed(rng, kind.questions[rng.choice(slots)], row, shown) for row in absent]
        return rng.choice(kind.titles), lines, [q for q in unknown if q]

    def _maker(self, rng: random.Random, maker: Maker, what: str) -> Callable[[], str]:
        """Return a maker of the values of a slot."""
        if what.startswith("@"):
            return lambda: rng.choice(self._lists[what[1:]])
        own: dict[str, Callable[[], str]] = {
            "author": lambda: f"{maker.pick(maker.words.upper)}, {rng.choice(LETTERS)}.",
            "press": lambda: f"{maker.pick(maker.words.upper)} {rng.choice(('Press', 'Books'))}",
            "span": lambda: f"{(a := rng.randint(1, 400))}-{a + rng.randint(3, 40)}",
            "letters": lambda: "".join(rng.choice(LETTERS) for _ in range(3)),
            "three": lambda: f"{rng.randint(1, 999):03d}",
        }
        if what in own:
            return own[what]
        if what in ("rising", "chapter"):
            return _growing(rng, what)
        return make_style(rng, maker, rng.choice(what.split("|")))

    @staticmethod
    def _rows(makers: dict[str, Callable[[], str]], count: int) -> list[dict[str, str]]:
        return [{slot: make() for slot, make in makers.items()} for _ in range(count)]


def _growing(rng: random.Random, what: str) -> Callable[[], str]:
    """Count pages or sections."""
    count = iter(range(10_000))
    page, part = [rng.randint(1, 20)], rng.randint(2, 5)

    def grow() -> str:
        page[0] += rng.randint(1, 23)
        return str(page[0])

    def divide() -> str:
        at = next(count)
        return f"{at // part + 1}.{at % part + 1}"

    return grow if what == "rising" else divide


def _cased(value: str, capitals: bool) -> str:
    return value.upper() if capitals else value


def _posed(
    rng: random.Random, questions: list[str], row: dict[str, str], shown: list[dict[str, str]]
) -> str:
    """Fill in a question that one row alone answers; empty where there is none."""
    fitting = []
    for question in questions:
        slots = SLOT.findall(question)
        others = [r for r in shown if r is not row]
        if not any(all(r[s] == row[s] for s in slots) for r in others):
            fitting.append(question)
    return rng.choice(fitting).format(**row) if fitting else ""


def paged(rng: random.Random, title: str, lines: list[Line], unknown: list[str]) -> list[Passage]:
    """Part lines into passages of 300 to 800 characters."""
    size = rng.randint(300, 800)
    label = rng.randint(1, 300) if rng.random() < 0.5 else None
    made: list[Passage] = []
    for text, asked in lines:
        if not made or len(made[-1].text) + len(text) > size:
            made.append(Passage(title, str(label + len(made)) if label else None, text))
        else:
            made[-1].text += f"\n{text}"
        made[-1].asked += asked
    made[0].unknown = unknown
    for passage in made:
        rng.shuffle(passage.asked)
        del passage.asked[11:]
    return made


def _stated(maker: Maker, count: int) -> list[Fact]:
    """Make facts, each sentence once."""
    return list({fact.statement: fact for fact in make_facts(maker, count)}.values())


def minutes(rng: random.Random, maker: Maker) -> tuple[str, list[Line], list[str]]:
    """Who said what, as in a transcript."""
    form = rng.choice(("MR. {}: ", "{}: ", "{} said: ", "MS. {}: ", "[{}] "))
    names = [make_person(rng, maker).split()[-1] for _ in range(rng.randint(2, 4))]
    names = [name.upper() if form.startswith("M") else name for name in dict.fromkeys(names)]
    lines: list[Line] = []
    stated = _stated(maker, rng.randint(4, 9))
    for fact in stated:
        name = rng.choice(names)
        said = rng.choice(("", "", "Yes. ", "Thank you. ", "Well, then. ")) + fact.statement
        text = form.format(name) + said
        who = rng.choice(("Who says this: {}", "Who said: “{}”")).format(fact.statement)
        others = tuple(n for n in names if n != name)
        own = [Asked(who, name, text, others), Asked(fact.question, fact.answer, text)]
        lines.append((text, own))
    others_ = [f.question for f in make_facts(maker, 3)]
    return "minutes", lines, [q for q in others_ if all(q != f.question for f in stated)]


def letter(rng: random.Random, maker: Maker) -> tuple[str, list[Line], list[str]]:
    """Return a letter or message with its head."""
    names = [make_person(rng, maker) for _ in range(3)]
    heads = [
        ("From", names[0], ("Who wrote the message?", "Who sent it?", "Who is the author?")),
        ("To", names[1], ("To whom was it sent?", "Who received the message?")),
        ("Cc", names[2], ("Who got a copy?", "Who else received it?")),
        ("Date", make_style(rng, maker, "date")(), ("When was it written?", "When was it sent?")),
        ("Subject", coin(rng, maker, "topic"), ("What is the message about?",)),
    ]
    shown = [head for head in heads if head[0] not in ("Cc", "Subject") or rng.random() < 0.6]
    if rng.random() < 0.3:
        rng.shuffle(shown)
    lines: list[Line] = []
    for label, value, questions in shown:
        others = tuple(v for _, v, _ in shown if v in names and v != value and value in names)
        text = f"{label}: {value}"
        lines.append((text, [Asked(rng.choice(questions), value, text, others)]))
    for fact in _stated(maker, rng.randint(2, 5)):
        lines.append((fact.statement, [Asked(fact.question, fact.answer, fact.statement)]))
    return "letter", lines, [rng.choice(head[2]) for head in heads if head not in shown]


def facts(rng: random.Random, maker: Maker) -> tuple[str, list[Line], list[str]]:
    """Sentences that state facts, some of one kind."""
    stated = make_facts(maker, rng.randint(4, 14))
    lines: dict[str, list[Asked]] = {}
    for fact in stated:
        others = tuple(o.answer for o in stated if o.topic == fact.topic and o is not fact)
        asked = Asked(fact.question, fact.answer, fact.statement, others)
        lines.setdefault(fact.statement, []).append(asked)
    unknown = [f.question for f in make_facts(maker, 4) if all(f.topic != s.topic for s in stated)]
    return coin(rng, maker, "title"), list(lines.items()), unknown
