"""Passages with questions that people wrote, and near questions that nothing answers."""

import json
import lzma
import random
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.train_small.material import FILES, Asked, Passage, fold_spaces

LONGEST_ANSWER = 100
LONGEST_CONTEXT = 4000
LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“(0-9])")
SHARES = {
    "squad": 0.42,
    "shifts": 0.36,
    "fairytale": 0.10,
    "qamr": 0.05,
    "policyqa": 0.03,
    "auto": 0.03,
    "babi": 0.01,
}
UNTITLED = "?"
MOST_ASKED = {"qamr": 7, "auto": 2}
TURNED = re.compile(r"(?<=[a-z,] )[A-Z][A-Za-z-]{2,}(?: [A-Z][A-Za-z-]+)*|\b\d[\d,]*\b")
OPPOSITES = [
    "first/last",
    "largest/smallest",
    "highest/lowest",
    "most/least",
    "before/after",
    "more/fewer",
    "north/south",
    "east/west",
    "oldest/youngest",
    "early/late",
    "increase/decrease",
    "began/ended",
    "founded/dissolved",
    "won/lost",
    "born/buried",
    "male/female",
    "above/below",
    "inside/outside",
    "longest/shortest",
    "best/worst",
    "allowed/forbidden",
    "buy/sell",
    "opened/closed",
    "joined/left",
    "arrived/departed",
    "accepted/rejected",
    "father/mother",
    "son/daughter",
    "brother/sister",
    "husband/wife",
    "minimum/maximum",
    "start/stop",
    "positive/negative",
    "upper/lower",
    "public/private",
    "internal/external",
    "major/minor",
    "rise/fall",
    "support/oppose",
    "included/excluded",
    "northern/southern",
    "eastern/western",
    "same/different",
]
OPPOSITE = {a: b for pair in OPPOSITES for a, b in (pair.split("/"), pair.split("/")[::-1])}


@dataclass
class Context:
    """A context of a data set.

    Args:
        text: The text.
        asked: Pairs of question and answer, an empty answer where it does not say.
    """

    text: str
    asked: list[tuple[str, str]] = field(default_factory=list)


def family(name: str) -> str | None:
    """Return the family of a data set; None where it is not used."""
    families = ("squad_v", "squadshifts", "fairytale", "qamr", "policyqa", "auto", "babi")
    found = next((f for f in families if f in name), None)
    return {"squad_v": "squad", "squadshifts": "shifts"}.get(found or "", found)


def usual(answers: list[str], context: str) -> str:
    """Choose among the answers of several people: the most frequent, then the shortest."""
    counts = Counter(fold_spaces(a) for a in answers)
    fitting = [a for a in counts if a in context and len(a) <= LONGEST_ANSWER]
    return min(fitting, key=lambda a: (-counts[a], len(a)), default="")


def read_contexts(path: Path) -> dict[str, dict[str, list[Context]]]:
    """Read `qa.xz`: families, their articles (or contexts without one), their contexts."""
    found: dict[str, dict[str, dict[str, Context]]] = defaultdict(lambda: defaultdict(dict))
    for row in _rows(path):
        kind = family(row["dataset"].split("/")[-1])
        text = fold_spaces(LINK.sub(r"\1", row["context"]))
        if kind is None or not 80 <= len(text) <= LONGEST_CONTEXT:
            continue
        answer = usual([LINK.sub(r"\1", a) for a in row["answers"]], text)
        if row["answers"] and not answer:
            continue
        contexts = found[kind][row["title"] or UNTITLED + text[:40]]
        contexts.setdefault(text, Context(text)).asked.append(
            (fold_spaces(row["question"]), answer)
        )
    return {k: {t: list(c.values()) for t, c in a.items()} for k, a in found.items()}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


class Natural:
    """Draws passages of natural texts.

    Args:
        path: `qa.xz`.
    """

    def __init__(self, path: Path) -> None:
        self._families = read_contexts(path)
        self._shares = {k: s for k, s in SHARES.items() if k in self._families}
        # A context is drawn as often as it has questions: reading it once serves them all.
        self._places = {
            kind: [
                (title, i)
                for title, contexts in articles.items()
                for i, context in enumerate(contexts)
                for _ in context.asked[:5]
            ]
            for kind, articles in self._families.items()
        }

    def draw(self, rng: random.Random, count: int, windowed: float) -> list[Passage]:
        """Draw passages, most of them of one article.

        Args:
            rng: Source of randomness.
            count: Number of passages.
            windowed: Share of contexts that are cut into windows of 300 to 800 characters.
        """
        kind = rng.choices(list(self._shares), list(self._shares.values()))[0]
        title, index = rng.choice(self._places[kind])
        contexts = self._families[kind][title]
        order = [contexts[index], *rng.sample(contexts, min(len(contexts), count))]
        if rng.random() < 0.35 or len(contexts) < 2:
            order = order[:1]
        named = rng.random() < 0.7 and not title.startswith(UNTITLED)
        made: list[Passage] = []
        for context in {c.text: c for c in order}.values():
            made += self._passages(
                rng, title if named else rng.choice(FILES), kind, context, windowed
            )
        while len(made) < count:
            other = rng.choice(self._places[kind])
            context = self._families[kind][other[0]][other[1]]
            if all(context.text[:60] not in p.text for p in made):
                made += self._passages(
                    rng, other[0] if named else made[0].title, kind, context, windowed
                )
        return made[:count]

    def _passages(
        self, rng: random.Random, title: str, kind: str, context: Context, windowed: float
    ) -> list[Passage]:
        """Make one passage of a context, or windows of it."""
        size = rng.randint(300, 800) if rng.random() < windowed else len(context.text) + 1
        label = str(rng.randint(1, 400)) if rng.random() < 0.5 else None
        parts = cut(context.text, size)
        most = MOST_ASKED.get(kind, 12)
        chosen = rng.sample(context.asked, min(len(context.asked), most))
        made = [Passage(title, label, part) for part in parts]
        for question, answer in dict(chosen).items():
            if not answer:
                made[0].unknown.append(question)
                continue
            homes = [p for p in made if answer in p.text]
            if len(homes) == 1 or (homes and len(made) == 1):
                homes[0].asked.append(Asked(question, answer))
        for passage in made:
            passage.unknown += twisted(rng, passage)
            passage.text = laid_out(rng, passage.text)
        return made


def cut(text: str, size: int) -> list[str]:
    """Cut a text after sentences into parts of about `size` characters."""
    parts = [""]
    for sentence in SENTENCE.split(text):
        if parts[-1] and len(parts[-1]) + len(sentence) > size:
            parts.append("")
        parts[-1] = f"{parts[-1]} {sentence}".strip()
    if len(parts) > 1 and len(parts[-1]) < 120:
        last = parts.pop()
        parts[-1] = f"{parts[-1]} {last}"
    return parts


def twisted(rng: random.Random, passage: Passage) -> list[str]:
    """Turn questions so that nothing answers them: another name or number, an opposite."""
    made = []
    for asked in passage.asked:
        question = (
            swapped(rng, asked, passage.text) if rng.random() < 0.65 else opposed(asked.question)
        )
        if question:
            made.append(question)
    return made


def swapped(rng: random.Random, asked: Asked, text: str) -> str | None:
    """Exchange a name or number of a question for another of the same passage."""
    own = TURNED.findall(asked.question)
    home = next((s for s in SENTENCE.split(text) if asked.answer in s), "")
    new = [n for n in TURNED.findall(text) if n not in home and n not in asked.question]
    if not own or not new:
        return None
    old = rng.choice(own)
    same = [n for n in new if n[0].isdigit() == old[0].isdigit()]
    return asked.question.replace(old, rng.choice(same), 1) if same else None


def opposed(question: str) -> str | None:
    """Put the opposite of one word of a question."""
    words = question.split(" ")
    places = [i for i, w in enumerate(words) if w.lower().rstrip("?,.") in OPPOSITE]
    if not places:
        return None
    word = words[places[0]]
    bare = word.rstrip("?,.")
    words[places[0]] = OPPOSITE[bare.lower()] + word[len(bare) :]
    return " ".join(words)


def laid_out(rng: random.Random, text: str) -> str:
    """Break lines as printed pages do, and leave their numbers in."""
    if rng.random() < 0.3:
        text = textwrap.fill(text, rng.randint(38, 105))
        if rng.random() < 0.25:
            text = f"{rng.choice(('Page ', '- ', ''))}{rng.randint(1, 300)}\n{text}"
        if rng.random() < 0.2:
            text = f"{text}\n{rng.randint(1, 300)}"
    elif rng.random() < 0.15:
        text = SENTENCE.sub("\n", text)
    return text
