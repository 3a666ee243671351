"""What rows are made of: passages of documents and what is asked about them."""

import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

NUMBER = re.compile(r"(?<![\w.])[$€£]?\d[\d,.:/-]*\d%?|(?<![\w.])[$€£]?\d%?(?![\w.])")
NAME = re.compile(
    r"\b[A-Z][\w.'-]+(?: (?:of|de|van|von|the|[A-Z][\w.'-]*))* [A-Z][\w'-]+|\b[A-Z][a-z]{2,}\b"
)
QUOTED = re.compile(r"[“\"]([^”\"\n]{3,60})[”\"]")
LISTS: dict[str, tuple[str, ...]] = {
    name: tuple(entries.split("|"))
    for name, entries in tomllib.loads(
        Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    ).items()
}
FILES = ("document.pdf", "report.pdf", "notes.txt", "scan.pdf", "manual.pdf", "book.epub")


@dataclass(frozen=True)
class Asked:
    """A question and its answer.

    Args:
        question: The question.
        answer: The answer, as the text has it; empty where nothing answers the question.
        key: What a text must contain to answer it; where empty, the answer itself.
        others: Spans of the same kind that do not answer it.
        also: What another page must contain, where the question needs two.
        free: Whether the answer need not stand in the text.
    """

    question: str
    answer: str
    key: str = ""
    others: tuple[str, ...] = ()
    also: str = ""
    free: bool = False

    def is_missing_in(self, text: str) -> bool:
        """Say whether a text certainly does not answer the question."""
        return (self.key or self.answer).lower() not in fold_spaces(text).lower()


@dataclass
class Passage:
    """A passage of a document with what is asked about it.

    Args:
        title: Title of its document.
        label: Label of its page.
        text: The text.
        asked: What it answers.
        unknown: Near questions that it does not answer.
    """

    title: str
    label: str | None
    text: str
    asked: list[Asked] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def fold_spaces(text: str) -> str:
    """Fold white space."""
    return " ".join(text.split())


def find_kin(rng: random.Random, answer: str, text: str, others: Sequence[str] = ()) -> str | None:
    """Find a span of a text that is of the kind of an answer and is not the answer.

    Args:
        rng: Source of randomness.
        answer: The answer.
        text: The text.
        others: Spans known to be of that kind, taken first.
    """
    known = [o for o in others if not overlaps(o, answer)]
    if known and rng.random() < 0.75:
        return rng.choice(known)
    digits = any(c.isdigit() for c in answer)
    pattern = NUMBER if digits else NAME
    found = [m.group() for m in pattern.finditer(text)]
    if digits and " " in answer:  # a number with its unit, a date: take the words around
        width = len(answer.split())
        found += [
            " ".join(w)
            for w in windows(text.split(), width)
            if any(c.isdigit() for c in " ".join(w))
        ]
    elif not digits and not answer[:1].isupper():
        found = [" ".join(w).strip(",.;:()") for w in windows(text.split(), len(answer.split()))]
    found = [f for f in dict.fromkeys(found) if f and not overlaps(f, answer)]
    return rng.choice(found) if found else None


def windows(words: list[str], width: int) -> list[list[str]]:
    """Return every run of `width` words."""
    return [words[i : i + width] for i in range(len(words) - width + 1)]


def overlaps(one: str, other: str) -> bool:
    """Say whether one answer is part of the other or shares most of its words."""
    a, b = set(re.findall(r"\w+", one.lower())), set(re.findall(r"\w+", other.lower()))
    return not a or not b or len(a & b) > 0.34 * min(len(a), len(b))
