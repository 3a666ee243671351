"""Rows of training: small libraries of passages, then many questions about them.

A batch is a pure function of seed and step, so training resumes at any step without the state of
a random generator, and any number of workers gives the same rows.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from recipes.train_nano import formats
from recipes.train_nano.facts import Fact, conflicts, make_fact, make_facts
from recipes.train_nano.sources import (
    Sources,
    make_label,
    make_title,
    prose_passage,
    sentences,
    shortened,
)
from recipes.train_nano.tokenizer import END_OF_TEXT, PADDING
from recipes.train_nano.values import Maker

CHARACTERS_PER_TOKEN = 3.7
UNANSWERABLE_SHARE = 0.12
NUMBER_WEIGHT = 3.0
SMALLEST_LIBRARY = 48
PAIR_TOKENS = {"uuid": 34, "hex": 10, "digits": 6, "words": 3, "name": 3}


@dataclass(frozen=True)
class Mix:
    """What the rows of a stage are.

    Args:
        shares: Share of each kind of row: `copy`, `cite`, `facts`, `pairs`, `mixed`, `prose`.
        bare: Share of fact rows without the instruction, to save tokens early.
        context: Share of context tokens that bear loss.
        plain: Share of rows in the frameworks' formats.
    """

    shares: Mapping[str, float]
    bare: float = 0.0
    context: float = 0.04
    plain: float = 0.15


@dataclass(frozen=True)
class Page:
    """A passage of a library before it is numbered."""

    title: str
    label: str | None
    text: str


@dataclass(frozen=True)
class Asked:
    """A question about a library; no page where it does not say."""

    question: str
    answer: str
    page: int | None


@dataclass
class Row:
    """Token ids with the weight of each in the loss."""

    tokenizer: Tokenizer
    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, text: str, weight: float = 0.0) -> None:
        """Append a piece, tokenised on its own as the library does."""
        self.add_ids(self.tokenizer.encode(text, add_special_tokens=False).ids, weight)

    def add_ids(self, ids: list[int], weight: float = 0.0) -> None:
        """Append tokens."""
        self.ids += ids
        self.weights += [weight] * len(ids)

    def fitted(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut or pad to `length`."""
        ids = np.full(length, PADDING, np.int64)
        weights = np.zeros(length, np.float32)
        count = min(length, len(self.ids))
        ids[:count], weights[:count] = self.ids[:count], self.weights[:count]
        return ids, weights


class Composer:
    """Composes rows from prepared data.

    Args:
        sources: The data.
        tokenizer: The tokenizer.
        seed: Seed of all rows.
    """

    def __init__(self, sources: Sources, tokenizer: Tokenizer, seed: int) -> None:
        self._sources = sources
        self._tokenizer = tokenizer
        self._seed = seed

    def batch(self, step: int, rows: int, length: int, mix: Mix) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and weights of a step, `(rows, length + 1)` each."""
        rng = np.random.default_rng([self._seed, step])
        maker = Maker(rng, self._sources.words)
        made = [self.row(maker, length + 1, mix) for _ in range(rows)]
        return np.stack([ids for ids, _ in made]), np.stack([weights for _, weights in made])

    def row(self, maker: Maker, length: int, mix: Mix) -> tuple[np.ndarray, np.ndarray]:
        """Compose one row of `length` tokens."""
        kinds = tuple(mix.shares)
        shares = np.array([mix.shares[k] for k in kinds])
        kind = kinds[int(maker.rng.choice(len(kinds), p=shares / shares.sum()))]
        row = Row(self._tokenizer)
        self._fill(row, maker, kind, length, mix)
        while length - len(row.ids) > SMALLEST_LIBRARY:
            row.add_ids([END_OF_TEXT])
            room = length - len(row.ids)
            self._fill(row, maker, kind if room > length // 2 else "facts", length, mix)
        ids, weights = row.fitted(length)
        if kind not in ("prose", "copy", "cite"):
            context = (weights == 0) & (ids > PADDING) & (maker.rng.random(length) < mix.context)
            weights[context] = 0.5
        return ids, weights

    def _fill(self, row: Row, maker: Maker, kind: str, length: int, mix: Mix) -> None:
        room = length - len(row.ids)
        if kind == "copy":
            self._copy(row, maker, room)
        elif kind == "cite":
            self._cite(row, maker, length)
        elif kind == "prose":
            row.add(prose_passage(maker, self._sources.prose, int(room * 5)), 0.5)
        else:
            pages, asked = self._library(maker, kind, room)
            self._render(row, maker, _laid_out(maker, pages), asked, length, mix)

    def _library(self, maker: Maker, kind: str, room: int) -> tuple[list[Page], list[Asked]]:
        if kind == "facts":
            return self._fact_library(maker, room)
        if kind == "pairs":
            return _pair_library(maker, room)
        return self._mixed_library(maker, room)

    def _copy(self, row: Row, maker: Maker, room: int) -> None:
        """Random words, then the same again in another order of their groups."""
        groups = []
        for _ in range(maker.below(7, 1)):
            count = min(maker.below(24, 3), max(3, room // 8))
            groups.append(" ".join(_random_word(maker) for _ in range(count)) + ".")
        for group in groups:
            row.add(group)
        for i in maker.rng.permutation(len(groups)):
            encoded = self._tokenizer.encode(groups[int(i)], add_special_tokens=False).ids
            row.add_ids(encoded[:2], 0.0)
            row.add_ids(encoded[2:], 1.0)

    def _cite(self, row: Row, maker: Maker, length: int) -> None:
        """Numbered pages of random words, then spans of them, each with the number of its page."""
        words = maker.below(max(30, length // 12), 4) if maker.chance(0.4) else maker.below(9, 4)
        pages: list[list[str]] = []
        end, most = (len(row.ids) + length) // 2, maker.below(max(16, length // 40), 3)
        row.add(formats.SYSTEM)
        while len(row.ids) < end and len(pages) < most:
            pages.append([_random_word(maker) for _ in range(words)])
            page = _titled(maker, [" ".join(pages[-1])])[0]
            row.add(formats.passage(len(pages), page.title, page.label, page.text))
        row.add(formats.TO_USER)
        while length - len(row.ids) > 20:
            chosen = maker.below(len(pages))
            start = maker.below(words - 2)
            span = " ".join(pages[chosen][start : start + maker.below(5, 3)])
            row.add(formats.TO_ASSISTANT)
            begin = len(row.ids)
            self._reply(row, Asked(span, span, chosen), True)
            # Only the number can be known: which span comes is chance.
            row.weights[begin:] = [w if w == NUMBER_WEIGHT else 0.0 for w in row.weights[begin:]]

    def _fact_library(self, maker: Maker, room: int) -> tuple[list[Page], list[Asked]]:
        """Pages of facts alone, each asked for."""
        facts = make_facts(maker, maker.below(max(3, room // 40), max(1, room // 100)))
        stated = list(dict.fromkeys(fact.statement for fact in facts))
        homes = _homes(maker, stated)
        joint = maker.pick((" ", " ", " ", "\n", "\n- "))
        texts = [
            joint.join(text for text in stated if homes[text] == i)
            for i in range(max(homes.values()) + 1)
        ]
        kept = [i for i, text in enumerate(texts) if text]
        pages = _titled(maker, [texts[i] for i in kept])
        asked = [Asked(f.question, f.answer, kept.index(homes[f.statement])) for f in facts]
        return pages, _shuffled(maker, asked + _unknown_facts(maker, facts))

    def _mixed_library(self, maker: Maker, room: int) -> tuple[list[Page], list[Asked]]:
        """Passages of articles and prose with some facts planted in them."""
        budget = int(room * maker.rng.uniform(0.35, 0.75) * CHARACTERS_PER_TOKEN)
        pages: list[Page] = []
        asked: list[Asked] = []
        while budget > 150 and len(pages) < 60:
            page, questions = self._natural_page(maker, budget, pages)
            budget -= len(page.text) + 40
            asked += [Asked(q, a, len(pages) if a else None) for q, a in questions]
            pages.append(page)
        facts = make_facts(maker, maker.below(max(3, room // 80), 1))
        homes = {fact.statement: maker.below(len(pages)) for fact in facts}
        for statement, home in homes.items():
            page = pages[home]
            pages[home] = Page(page.title, page.label, _planted(maker, page.text, statement))
        asked += [Asked(f.question, f.answer, homes[f.statement]) for f in facts]
        unknown = _unknown_facts(maker, facts) + self._unknown_questions(maker, len(asked))
        return pages, _shuffled(maker, asked + unknown)

    def _natural_page(
        self, maker: Maker, budget: int, pages: list[Page]
    ) -> tuple[Page, list[tuple[str, str]]]:
        limit = min(budget, maker.pick((200, 400, 700, 1000, 1600)))
        if maker.chance(0.3) or not self._sources.passages:
            text = prose_passage(maker, self._sources.prose, limit)
            return _titled(maker, [text])[0], []
        source = self._sources.passages[maker.below(len(self._sources.passages))]
        text = shortened(source.text, limit)
        title = source.title or make_title(maker)
        if any(p.text[:60] == text[:60] for p in pages):
            return Page(title, None, text), []
        label = make_label(maker, maker.below(40, 1)) if maker.chance(0.3) else None
        return Page(title, label, text), [(q, a) for q, a in source.questions if a in text]

    def _unknown_questions(self, maker: Maker, known: int) -> list[Asked]:
        """Questions about passages that are not shown."""
        count = int(maker.rng.poisson(UNANSWERABLE_SHARE * known * 0.6))
        picked = [maker.below(len(self._sources.passages)) for _ in range(count)]
        return [Asked(self._sources.passages[i].questions[0][0], "", None) for i in picked]

    def _render(
        self, row: Row, maker: Maker, pages: list[Page], asked: list[Asked], length: int, mix: Mix
    ) -> None:
        style = maker.pick(("langchain", "llama_index")) if maker.chance(mix.plain) else "library"
        if style == "llama_index":
            self._llama_index(row, maker, pages, asked)
            return
        if style == "langchain":
            self._langchain(row, maker, pages)
        else:
            row.add(formats.SYSTEM)
            if length - len(row.ids) > 150 and not maker.chance(mix.bare):
                row.add(formats.INSTRUCTION)
            for i, page in enumerate(pages):
                row.add(formats.passage(i + 1, page.title, page.label, page.text))
        for i, question in enumerate(asked):
            if len(row.ids) + 30 > length:
                break
            row.add(formats.TO_USER if i == 0 else formats.NEXT_USER)
            self._turn(row, question, style == "library")

    def _turn(self, row: Row, asked: Asked, numbered: bool) -> None:
        row.add(asked.question)
        row.add(formats.TO_ASSISTANT)
        self._reply(row, asked, numbered)

    def _reply(self, row: Row, asked: Asked, numbered: bool) -> None:
        """Add an answer; the number of its passage weighs more, as one token of many."""
        row.add(_reply(asked, numbered) + formats.END, 1.0)
        if numbered and asked.page is not None:
            digits = len(str(asked.page + 1))
            row.weights[-2 - digits : -2] = [NUMBER_WEIGHT] * digits

    def _langchain(self, row: Row, maker: Maker, pages: list[Page]) -> None:
        before, after = maker.pick(((formats.LANGCHAIN, ""), formats.LANGCHAIN_SHORT))
        context = "\n\n".join(page.text for page in pages)
        row.add(f"{formats.SYSTEM}{before}{context}{after}")

    def _llama_index(self, row: Row, maker: Maker, pages: list[Page], asked: list[Asked]) -> None:
        before, query, answer = formats.LLAMA_INDEX
        context = "\n\n".join(_plain_page(page) for page in pages)
        row.add(
            f"<|im_start|>user\n{before}{context}{query}{asked[0].question}{answer}{formats.TO_ASSISTANT}"
        )
        self._reply(row, asked[0], False)
        for question in asked[1:]:
            row.add(formats.NEXT_USER)
            self._turn(row, question, False)


def _homes(maker: Maker, stated: list[str]) -> dict[str, int]:
    """Give each sentence a page: one of its own, or some to a page."""
    if maker.chance(0.4):
        return {text: i for i, text in enumerate(stated)}
    count = maker.below(min(len(stated), 12) + 1, 1)
    return {text: maker.below(count) for text in stated}


def _pair_library(maker: Maker, room: int) -> tuple[list[Page], list[Asked]]:
    """One passage of keys and values, all of one form."""
    key, value = (maker.pick(("uuid", "uuid", "hex", "digits", "words", "name")) for _ in range(2))
    form = maker.pick(('"{}": "{}"', "{}: {}", "{} = {}", "{}\t{}"))
    cost = 3 + PAIR_TOKENS[key] + PAIR_TOKENS[value]
    count = int(maker.rng.uniform(0.4, 0.8) * max(100, room - 60) / cost)
    pairs = {maker.make(key): maker.make(value) for _ in range(max(2, count))}
    text = maker.pick(("\n", "\n", ", ")).join(form.format(k, v) for k, v in pairs.items())
    question = maker.pick(("What is the value of {}?", "{}", "Which value belongs to {}?"))
    asked = [Asked(question.format(k), v, 0) for k, v in pairs.items()]
    return _titled(maker, [text]), _shuffled(maker, asked)


def _laid_out(maker: Maker, pages: list[Page]) -> list[Page]:
    """Break the lines of some libraries as the text of printed pages has them."""
    if not maker.chance(0.15):
        return pages
    width = maker.below(100, 45)
    return [Page(p.title, p.label, textwrap.fill(p.text, width)) for p in pages]


def _plain_page(page: Page) -> str:
    label = f"page_label: {page.label}\n" if page.label else ""
    return f"{label}file_path: {page.title}\n\n{page.text}"


def _reply(asked: Asked, numbered: bool) -> str:
    if asked.page is None:
        return formats.UNANSWERABLE
    return formats.cited(asked.answer, asked.page + 1) if numbered else asked.answer


def _random_word(maker: Maker) -> str:
    if maker.chance(0.12):
        return str(maker.below(10 ** maker.below(6, 1)))
    return maker.pick(maker.words.upper if maker.chance(0.3) else maker.words.lower)


def _titled(maker: Maker, texts: list[str]) -> list[Page]:
    """Give texts titles and labels: pages of one document, or documents of their own."""
    one, numbered = maker.chance(0.5), maker.chance(0.6)
    title, first = make_title(maker), maker.below(30, 1) if maker.chance(0.3) else 1
    return [
        Page(
            title if one else make_title(maker),
            make_label(maker, first + i if one else maker.below(30, 1)) if numbered else None,
            text,
        )
        for i, text in enumerate(texts)
    ]


def _planted(maker: Maker, text: str, statement: str) -> str:
    """Put a statement between two sentences of a text, or at one of its ends."""
    parts = sentences(text)
    at = maker.below(len(parts) + 1)
    return " ".join([*parts[:at], statement, *parts[at:]])


def _unknown_facts(maker: Maker, facts: list[Fact]) -> list[Asked]:
    """Questions about facts that are not stated."""
    count = int(maker.rng.poisson(UNANSWERABLE_SHARE * len(facts)))
    made = [make_fact(maker) for _ in range(count)]
    return [Asked(f.question, "", None) for f in made if not conflicts(f, facts)]


def _shuffled(maker: Maker, asked: list[Asked]) -> list[Asked]:
    return [asked[int(i)] for i in maker.rng.permutation(len(asked))]
