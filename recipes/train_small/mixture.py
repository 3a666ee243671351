"""The mixture: what the rows of a step are."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from recipes.train_nano import formats
from recipes.train_small.material import Asked, Passage, find_kin, fold_spaces
from recipes.train_small.rows import RIGHT, WRONG, Page, Row, Turn

PLAIN_TOKENS, SHORTEST = 1024, 150
MOST_PASSAGES = 24  # of a unit, more in long rows
Source = Callable[[random.Random, int], list[Passage]]
Plain = Callable[[random.Random, int], tuple[list[int], list[float]]]


@dataclass(frozen=True)
class Plan:
    """Shares of a mixture.

    Args:
        ways: Share of each way of asking: `each` (passages one by one), `pages` (together, page
            by page), `full` (together, full attention), `chat`, `first` (rows of pace-nano).
        sources: Share of each source of passages.
        refusals: Unanswerable questions for each answerable one.
        verdicts: Share of answers that are verified, and that are exchanged and verified.
        full_each: Share of passages asked one by one whose page sees the head.
    """

    ways: Mapping[str, float]
    sources: Mapping[str, float]
    refusals: float = 0.38
    verdicts: float = 0.25
    full_each: float = 0.2


class Mixture:
    """Composes rows.

    Args:
        tokenizer: The base's tokenizer.
        sources: Where passages come from, by name.
        plain: Makers of plain rows by name (`chat`, `first`): ids and weights.
        plan: The shares.
        seed: Seed of all rows.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sources: Mapping[str, Source],
        plain: Mapping[str, Plain],
        plan: Plan,
        seed: int,
    ) -> None:
        self._tokenizer, self._sources, self._plain = tokenizer, sources, plain
        self._plan, self._seed = plan, seed

    def row(self, step: int, index: int, length: int) -> Row:
        """Compose a row of about `length` tokens; the same for the same step and index."""
        rng = random.Random(f"{self._seed}-{step}-{index}")
        ways = {
            w: s
            for w, s in self._plan.ways.items()
            if w not in ("chat", "first") or w in self._plain
        }
        way = rng.choices(list(ways), list(ways.values()))[0]
        row = Row(self._tokenizer)
        if way in self._plain:
            whole = length if way == "first" else min(length, PLAIN_TOKENS)
            while len(row.ids) < whole - SHORTEST:
                row.add_causal(*self._plain[way](rng, whole - len(row.ids)))
            return row
        row.add_head()
        if way == "each":
            self._each(rng, row, length)
        else:
            self._answer_batch(rng, row, length, full=way == "full")
        return row

    def _draw(self, rng: random.Random, count: int, *, alone: bool = False) -> list[Passage]:
        names = [
            n for n in self._plan.sources if n in self._sources and not (alone and n == "hops")
        ]
        name = rng.choices(names, [self._plan.sources[n] for n in names])[0]
        return self._sources[name](rng, count)

    def _each(self, rng: random.Random, row: Row, length: int) -> None:
        """Passages asked one by one: a unit for each."""
        while len(row.ids) < length - 150:
            passages = self._draw(rng, rng.randint(2, 5), alone=True)
            for number, passage in zip(_numbers(rng, len(passages), True), passages, strict=True):
                if len(row.ids) > length - 150:
                    break
                others = [p for p in passages if p is not passage]
                turns = self._turns(rng, [passage], [number], others)
                pages = [Page(number, passage.title, passage.label, passage.text)]
                if turns:
                    row.add_unit(pages, turns[:14], full=rng.random() < self._plan.full_each)

    def _answer_batch(self, rng: random.Random, row: Row, length: int, *, full: bool) -> None:
        """Pages read together: one unit."""
        budget = int(length * rng.uniform(0.4, 0.7))
        passages: list[Passage] = []
        size = 0
        while size < budget and len(passages) < max(MOST_PASSAGES, length // 100):
            for passage in self._draw(rng, rng.randint(1, 6)):
                cost = len(passage.text) // 4 + 16
                if size + cost > budget * 1.1 and passages:
                    size += cost
                    break
                if all(p.text[:80] != passage.text[:80] for p in passages):
                    passages.append(passage)
                size += cost
        rng.shuffle(passages)
        held = [passages.pop()] if len(passages) > 3 and rng.random() < 0.5 else []
        numbers = _numbers(rng, len(passages), not full and rng.random() < 0.5)
        pages = [Page(n, p.title, p.label, p.text) for n, p in zip(numbers, passages, strict=True)]
        turns = self._turns(rng, passages, numbers, held)
        room = length - len(row.ids) - row.cost(pages, [])
        kept: list[Turn] = []
        for turn in turns:
            room -= row.cost([], [turn])
            if room < 0:
                break
            kept.append(turn)
        row.add_unit(pages, kept or turns[:1], full=full)

    def _turns(
        self,
        rng: random.Random,
        shown: Sequence[Passage],
        numbers: Sequence[int],
        hidden: Sequence[Passage],
    ) -> list[Turn]:
        """Make the turns about some shown passages; the hidden ones lend unanswerable questions."""
        text = "\n".join(p.text for p in shown)
        often = Counter(a.question for p in shown for a in p.asked)
        turns: list[Turn] = []
        for i, passage in enumerate(shown):
            for asked in passage.asked:
                if (
                    (not asked.free and asked.answer not in fold_spaces(passage.text))
                    or (asked.also and asked.also not in text)
                    or often[asked.question] > 1
                ):
                    continue
                question = _spoken(rng, asked.question)
                reply = formats.cited(asked.answer, numbers[i])
                beside = [
                    j for j, p in enumerate(shown) if j != i and asked.also and asked.also in p.text
                ]
                verdict = RIGHT if rng.random() < self._plan.verdicts else ""
                turns.append(Turn(question, reply, "answer", (i, *beside), verdict))
                if rng.random() < self._plan.verdicts:
                    turns += _wrong(rng, asked, passage, numbers[i])
        near = [q for p in shown for q in p.unknown]
        away = [a for p in hidden for a in p.asked if not a.also and a.is_missing_in(text)]
        count = self._plan.refusals * max(1, sum(len(p.asked) for p in shown))
        wanted = int(count) + (rng.random() < count % 1)
        for _ in range(wanted):
            if away and (not near or rng.random() < 0.4):
                asked = away.pop(rng.randrange(len(away)))
                turns.append(Turn(_spoken(rng, asked.question), formats.UNANSWERABLE, "refusal"))
                if rng.random() < self._plan.verdicts:
                    turns += _wrong(rng, asked, rng.choice(shown), numbers[0])
            elif near:
                question = near.pop(rng.randrange(len(near)))
                turns.append(Turn(_spoken(rng, question), formats.UNANSWERABLE, "refusal"))
        rng.shuffle(turns)
        return turns


def _spoken(rng: random.Random, question: str) -> str:
    """Write some questions as people type them."""
    if rng.random() < 0.08:
        question = question[0].lower() + question[1:].rstrip("?")
    return question


def _wrong(rng: random.Random, asked: Asked, passage: Passage, number: int) -> list[Turn]:
    """Give a wrong answer, a span of the right one's kind, and let it be judged."""
    text = fold_spaces(passage.text)
    near = asked.others or tuple(a.answer for a in passage.asked)
    digits = any(c.isdigit() for c in asked.answer)
    others = [o for o in near if o in text and any(c.isdigit() for c in o) == digits]
    wrong = "" if asked.free else find_kin(rng, asked.answer, passage.text, others)
    if not wrong:
        return []
    return [Turn(asked.question, formats.cited(fold_spaces(wrong), number), "given", (), WRONG)]


def _numbers(rng: random.Random, count: int, library: bool) -> list[int]:
    """Choose page numbers: from 1, or as a library does, where numbers are theirs for good."""
    if not library or rng.random() < 0.25:
        return list(range(1, count + 1))
    start = rng.randint(1, 10 ** rng.randint(1, 4) - 1)
    step = 1 if rng.random() < 0.5 else rng.randint(1, 60)
    return [
        min(9999, start + i * step) if step == 1 else min(9999, start + i * rng.randint(1, step))
        for i in range(count)
    ]
