"""Long text in pages, with sentences hidden in it at chosen depths."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from pace_integrations.documents import Corpus
from pace_integrations.documents.quotes.sentences import split_sentences
from pace_integrations.errors import DocumentError
from pace_integrations.evaluation.tasks.rows import Count
from pace_integrations.evaluation.tasks.words import NOISE, iter_prose

PAGE = 160  # tokens: about the passages of multi-document benchmarks


@dataclass(frozen=True)
class Haystack:
    """Pages as documents, and which of them hold something hidden.

    Attributes:
        documents: Titles and texts in order.
        gold: Indices of the documents that hold a hidden sentence.
    """

    documents: tuple[tuple[str, str], ...]
    gold: tuple[int, ...]


def build_haystack(
    filler: Iterator[str], hidden: Sequence[tuple[float, str]], length: int, count: Count
) -> Haystack:
    """Fill pages up to a length and hide sentences in them.

    Args:
        filler: Sentences to fill with.
        hidden: Depths from 0 to 1, and the sentences hidden there.
        length: Tokens in all.
        count: Counts the tokens of a text.
    """
    room = length - sum(count(text) for _, text in hidden)
    straw: list[str] = []
    while room > 0:
        straw.append(next(filler))
        room -= max(count(straw[-1]), 1)
    places = len(straw)  # before anything is hidden, so that order of depth is order in the text
    for depth, text in sorted(hidden, reverse=True):
        straw.insert(round(depth * places), text)
    pages = list(_split_pages(straw, count))
    secrets = {text for _, text in hidden}
    documents = tuple((f"notes {i + 1}", " ".join(page)) for i, page in enumerate(pages))
    return Haystack(documents, tuple(i for i, page in enumerate(pages) if secrets & set(page)))


def filler_sentences(kind: str | Path, rng: random.Random) -> Iterator[str]:
    """Yield sentences without end: ``"noise"``, ``"prose"``, or those of files in a folder.

    Raises:
        DocumentError: There is nothing to read in the folder.
    """
    if kind == "noise":
        return cycle([f"{part}." for part in NOISE.rstrip(".").split(". ")])
    if kind == "prose":
        return iter_prose(rng)
    found = load_sentences(Path(kind))
    start = rng.randrange(len(found))
    return cycle([*found[start:], *found[:start]])


def load_sentences(path: Path) -> list[str]:
    """Load the sentences of the user's own files.

    Raises:
        DocumentError: There is no text in them.
    """
    texts: Iterable[str] = (page.text for _, page in Corpus.from_paths([path]).pages())
    found = [" ".join(text[s:e].split()) for text in texts for s, e in split_sentences(text)]
    kept = [sentence for sentence in found if len(sentence.split()) > 2]
    if not kept:
        raise DocumentError(f"{path} holds no sentences to hide anything in")
    return kept


def _split_pages(straw: Sequence[str], count: Count) -> Iterator[list[str]]:
    page: list[str] = []
    size = 0
    for sentence in straw:
        if size >= PAGE:
            yield page
            page, size = [], 0
        page.append(sentence)
        size += count(sentence)
    if page:
        yield page
