"""Which order of pages finds the right one: words, the model's keys, dense vectors, or a fusion.

    python -m recipes.compare_selectors ADAPTER --base BASE --data EVAL --dense MINILM

Three sets: SQuAD 2.0 with ten passages, 2WikiMultihopQA with its ten, and all of these passages as
a library of 500 pages, asked SQuAD's questions. A question's recall is the share of its right
passages among the first as many (of the library: among the first and the first five). Each order
is compared with words (BM25) and with words fused with dense vectors, on the same questions:
difference with its 95 % interval, drawn over questions. ADAPTER and BASE are those of
`recipes.train_small.evaluate`; MINILM is a folder with a sentence transformer of mean pooling.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from pace_integrations.evaluation.statistics import bootstrap_interval
from pace_integrations.library.selectors import RANK_OFFSET
from recipes.train_nano import tasks
from recipes.train_nano.tasks import Item
from recipes.train_small.index import LAYERS, page_score
from recipes.train_small.lookups import WordIndex
from recipes.train_small.reading import Answerer, load_model

PAGES = 500
ORDERS = {
    "words": ("words",),
    "keys": ("keys",),
    "dense": ("dense",),
    "words + keys": ("words", "keys"),
    "words + dense": ("words", "dense"),
    "words + keys + dense": ("words", "keys", "dense"),
}
REFERENCES = ("words", "words + dense")


@dataclass(frozen=True)
class Asked:
    """Questions over passages.

    Attributes:
        name: Name of the set.
        items: The questions, each with its passages and which of them are right, from 1 on.
        first: How many of the first passages count; None for as many as are right.
    """

    name: str
    items: Sequence[Item]
    first: int | None = None


def make_sets(data: Path) -> list[Asked]:
    """Return the sets of questions."""
    squad = [item for item in tasks.squad(data, 10, 600) if item.answers]
    wiki = tasks.two_wiki(data, 200)
    texts = (_text(p) for item in [*squad, *wiki] for p in item.passages)
    pages = list(dict.fromkeys(texts))[:PAGES]
    random.Random(0).shuffle(pages)
    place = {page: i + 1 for i, page in enumerate(pages)}
    shown = [f"[{i}] {page}" for page, i in place.items()]
    library = [
        Item(shown, item.question, item.answers, frozenset(_places(item, place))) for item in squad
    ]
    return [
        Asked("SQuAD 2.0, 10 passages", squad),
        Asked("2Wiki, 10 passages", wiki),
        Asked(f"{len(pages)} pages, first", library),
        Asked(f"{len(pages)} pages, first five", library, 5),
    ]


def _text(passage: str) -> str:
    """Return a rendered passage without its number."""
    return passage.partition("] ")[2]


def _places(item: Item, place: Mapping[str, int]) -> Iterator[int]:
    return (place[_text(item.passages[page - 1])] for page in item.pages)


class WordOrder:
    """BM25 as the library has it."""

    def __init__(self) -> None:
        self._made: tuple[Sequence[str], WordIndex] | None = None

    def __call__(self, item: Item) -> list[float]:
        """Score the passages of an item."""
        if self._made is None or self._made[0] is not item.passages:  # many ask about the same ones
            self._made = item.passages, WordIndex([_text(p) for p in item.passages])
        return self._made[1].scores(item.question)


class KeyOrder:
    """The keys of the model's index layers; each passage is read once."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._keys: dict[str, Tensor] = {}

    def __call__(self, item: Item) -> list[float]:
        """Score the passages of an item."""
        query = self._answerer.trace_question(item.question)
        scores = []
        for passage in item.passages:
            text = "[1] " + _text(passage)  # the number is no part of what is found
            if text not in self._keys:
                self._keys[text] = self._answerer.trace_page(text)
            scores.append(float(page_score(query, self._keys[text])))
        return scores


class DenseOrder:
    """Cosine of mean-pooled vectors of a sentence transformer.

    Args:
        folder: The model.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder).eval()
        self._vectors: dict[str, Tensor] = {}

    def __call__(self, item: Item) -> list[float]:
        """Score the passages of an item."""
        query = self.embed(item.question)
        return [float(query @ self.embed(_text(passage))) for passage in item.passages]

    @torch.inference_mode()
    def embed(self, text: str) -> Tensor:
        """Return the vector of a text, of unit length."""
        if text not in self._vectors:
            ids = self._tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            mean = self._model(**ids).last_hidden_state[0].mean(0)
            self._vectors[text] = mean / mean.norm()
        return self._vectors[text]


def fuse(orders: Sequence[Sequence[float]]) -> list[float]:
    """Return scores by reciprocal ranks, as the library's `fused` has them."""
    total = np.zeros(len(orders[0]))
    for scores in orders:
        ranks = np.empty(len(scores))
        ranks[np.argsort(-np.asarray(scores), kind="stable")] = np.arange(1, len(scores) + 1)
        total += 1 / (RANK_OFFSET + ranks)
    return [float(value) for value in total]


def measure_recall(
    asked: Asked, scorers: Mapping[str, Callable[[Item], list[float]]]
) -> dict[str, np.ndarray]:
    """Return every order's recall for every question."""
    made = {name: parts for name, parts in ORDERS.items() if all(p in scorers for p in parts)}
    kept: dict[str, list[float]] = {name: [] for name in made}
    for item in asked.items:
        scores = {name: score(item) for name, score in scorers.items()}
        for name, parts in made.items():
            own = fuse([scores[part] for part in parts]) if len(parts) > 1 else scores[parts[0]]
            count = asked.first or len(item.pages)
            first = {int(i) + 1 for i in np.argsort(-np.asarray(own), kind="stable")[:count]}
            kept[name].append(len(first & item.pages) / len(item.pages))
    return {name: np.asarray(values) for name, values in kept.items()}


def print_set(asked: Asked, recalls: Mapping[str, np.ndarray]) -> None:
    """Print a set's rows of the table."""
    for name, values in recalls.items():
        cells = []
        for reference in REFERENCES:
            if reference not in recalls or reference == name:
                cells.append("-")
                continue
            found = bootstrap_interval(values - recalls[reference])
            cells.append(f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})")
        print(
            f"| {asked.name} | {len(values)} | {name} | {values.mean():.3f} | {' | '.join(cells)} |"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="converted base, with tokenizer")
    parser.add_argument("--data", type=Path, required=True, help="evaluation rows")
    parser.add_argument("--dense", type=Path, help="folder of a sentence transformer")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    scorers: dict[str, Callable[[Item], list[float]]] = {
        "words": WordOrder(),
        "keys": KeyOrder(Answerer(load_model(given.model, given.base), given.base, layers=LAYERS)),
    }
    if given.dense:
        scorers["dense"] = DenseOrder(given.dense)
    print("| set | questions | order | recall | less words | less words + dense |")
    print("| --- | --- | --- | --- | --- | --- |")
    for asked in make_sets(given.data):
        print_set(asked, measure_recall(asked, scorers))


if __name__ == "__main__":
    main()
