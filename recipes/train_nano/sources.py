"""The prepared data in memory: passages with questions, prose, words and titles."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.train_nano.values import Maker, Words

ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z\"(])")


@dataclass(frozen=True)
class Source:
    """A passage of an article with questions about it.

    Args:
        title: Title of the article.
        text: The passage.
        questions: Pairs of question and answer; an empty answer means that it does not say.
    """

    title: str
    text: str
    questions: list[tuple[str, str]]


@dataclass(frozen=True)
class Sources:
    """Everything rows are composed from.

    Args:
        passages: Passages in order of their articles.
        prose: Running texts.
        words: Words for names.
    """

    passages: list[Source]
    prose: list[str]
    words: Words


def _rows(path: Path) -> list[Any]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load_sources(folder: Path) -> Sources:
    """Read what `prepare` wrote."""
    passages = [
        Source(row["title"], row["text"], [(q, a) for q, a in row["questions"]])
        for row in _rows(folder / "passages.jsonl")
    ]
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    return Sources(passages, _rows(folder / "prose.jsonl"), Words(words["lower"], words["upper"]))


def sentences(text: str) -> list[str]:
    """Cut a text after its sentences."""
    return SENTENCE_END.split(text)


def shortened(text: str, characters: int) -> str:
    """Keep whole sentences up to about `characters`."""
    if len(text) <= characters:
        return text
    cut = max(text.rfind(mark, 0, characters) for mark in (". ", "? ", "! "))
    return text[: cut + 1] if cut > 0 else text[:characters].rsplit(" ", 1)[0]


def prose_passage(maker: Maker, prose: list[str], characters: int) -> str:
    """Take a stretch of a random text, white space folded, from the start of a sentence."""
    text = prose[maker.below(len(prose))]
    start = maker.below(max(1, len(text) - characters))
    piece = " ".join(text[start : start + 2 * characters].split())
    if start:
        piece = piece[piece.find(". ") + 2 :] if ". " in piece else piece
    return shortened(piece, characters)


def make_title(maker: Maker) -> str:
    """Make a title as documents have: a file name, a report, a pair of words."""
    noun, name = maker.make("noun"), maker.pick(maker.words.upper)
    kinds = (
        f"{noun.replace(' ', '-')}.pdf",
        f"{name.lower()}_{maker.below(2030, 1990)}.pdf",
        f"{noun.replace(' ', '_')}.txt",
        f"{name} {noun}",
        f"{noun.capitalize()} report",
        f"The {noun} of {name}",
        name,
    )
    return maker.pick(kinds)


def make_label(maker: Maker, position: int) -> str:
    """Make a page label: mostly a number."""
    if maker.chance(0.9):
        return str(position)
    return maker.pick((maker.pick(ROMAN), f"{maker.pick(('A', 'B', 'C'))}-{position}"))
