"""Finds the heads of a model whose keys find pages, on made-up questions.

Pages of a few made-up facts are read by themselves, and questions are asked about the facts in
other words. A head is good if the page with the fact ranks high among all by the head's keys alone.
Names and kinds of facts come again on many pages, and pages are about equally long, so neither one
word nor the length tells the page.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pace_integrations._files import make_cache_folder
from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError
from pace_integrations.library.blocks import SearchView, divide_document
from pace_integrations.library.catalog import Listing, write_private
from pace_integrations.library.changes import put_documents
from pace_integrations.library.profile import ReadingProfile, calibrated_profile_path, find_profile
from pace_integrations.library.reader import encode_alone
from pace_integrations.library.selectors import RANK_OFFSET, Bm25Selector
from pace_integrations.model.engine import Engine
from pace_integrations.model.pages import PageAttention
from pace_integrations.session.pace import Pace
from pace_integrations.session.read_job import Progress, ProgressDisplay

QUESTIONS = 80
PAGES = 40
_FACTS = 3  # of a page
_SIZES = (1, 2, 4, 8, 16)  # numbers of heads that are tried

_NAMES = (
    "Marta Keller",
    "Olaf Brandt",
    "Irene Dubois",
    "Tomas Novak",
    "Greta Lind",
    "Pavel Orlov",
    "Nadia Rossi",
    "Hugo Stein",
)
# What a page says, and what is asked about it in other words.
_KINDS = (
    ("{name} was born in {place}.", "What is the birthplace of {name}?"),
    ("{name} earns a living as a {job}.", "What is the profession of {name}?"),
    ("It took {name} {count} days to mend the roof.", "How long did {name} repair the house?"),
    ("{name} keeps {count} goats behind the barn.", "How many animals does {name} own?"),
    ("{name} moved to {place} after the flood.", "Where did {name} go when the water came?"),
    ("The shop of {name} opens at {count} o'clock.", "When does {name} begin to sell?"),
    ("{name} paid {count} crowns for the boat.", "What did the vessel of {name} cost?"),
    ("{name} studied chemistry in {place}.", "At which university was {name} a student?"),
    ("{name} married a {job} in spring.", "What is the work of the spouse of {name}?"),
    ("{name} lost {count} games of chess in a row.", "How often was {name} beaten at the board?"),
)
_PLACES = ("Bergen", "Lyon", "Riga", "Porto", "Graz", "Turku", "Malaga", "Ghent")
_JOBS = ("baker", "sailor", "tailor", "miner", "teacher", "painter", "carpenter", "nurse")


@dataclass(frozen=True, slots=True)
class HeadCalibration:
    """Which heads of a model find pages, and how well.

    Attributes:
        profile: How a library reads with them.
        recall: Share of questions whose page comes first, by what ranks the pages: ``"heads"``
            (those chosen), ``"all heads"``, ``"bm25"`` and ``"fused"``. None of these questions
            chose the heads.
        questions: Number of those questions.
        path: Where the profile lies, or None if it was not kept.
    """

    profile: ReadingProfile
    recall: Mapping[str, float]
    questions: int
    path: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {**asdict(self), "path": str(self.path) if self.path else None}


def calibrate_heads(
    pace: Pace,
    *,
    questions: int = QUESTIONS,
    seed: int = 0,
    progress: bool | Progress = False,
    save: bool = True,
) -> HeadCalibration:
    """Find the heads of a model whose keys find pages.

    Libraries of this model then know the selectors ``"heads"`` and ``"fused"``, and cite the page
    that the heads looked at where the model names none. A profile that stands beside the model's
    weights goes before the one that is kept here.

    Args:
        pace: The model.
        questions: Made-up questions; half of them choose, and the others tell how well.
        seed: Which questions.
        progress: True draws a bar; a function is called with tokens done and in all.
        save: Whether the profile is kept in the cache folder, for libraries to find.

    Raises:
        ConfigError: There are too few questions, or the keys of the model cannot be compared.
    """
    if questions < 8:
        raise ConfigError(f"questions must be at least 8, got {questions}")
    corpus, asked = make_rows(questions, seed)
    engine = pace.engine
    texts = [page.text for document in corpus.documents for page in document.pages]
    with (
        closing(engine.thread.stream(_score_heads(engine, texts, [q for q, _ in asked]))) as steps,
        ProgressDisplay(progress) as show,
    ):
        scores = torch.empty(0)
        for done, total, found in steps:
            scores = scores if found is None else found
            show(done, total)
    gold = torch.tensor([page for _, page in asked])
    half = questions // 2
    chosen = choose_heads(scores[:half], gold[:half])
    words = _score_words(corpus, [question for question, _ in asked])
    recall = _measure_recall(scores[half:], words[half:], chosen, gold[half:])
    width = scores.shape[-1] // engine.loaded.model.config.get_text_config().num_hidden_layers
    heads = tuple(sorted(divmod(int(head), width) for head in chosen))
    before = find_profile(engine.loaded) or ReadingProfile(by_page=False)
    layers = tuple(dict.fromkeys(layer for layer, _ in heads))
    profile = replace(before, index_layers=layers, index_heads=heads)
    path = _keep_profile(profile, calibrated_profile_path(engine.loaded)) if save else None
    return HeadCalibration(profile, recall, questions - half, path)


def _measure_recall(
    scores: Tensor, words: Tensor, chosen: Sequence[int], gold: Tensor
) -> dict[str, float]:
    """Return how often the right page comes first, by what ranks the pages.

    Args:
        scores: By every head ``(questions, pages, heads)``.
        words: By BM25 ``(questions, pages)``.
        chosen: The heads that were chosen.
        gold: The right page of each question ``(questions,)``.
    """
    keys = scores[..., chosen].mean(-1)
    fused = sum((1.0 / (RANK_OFFSET + _ranks(x)) for x in (keys, words)), torch.zeros_like(words))
    orders = {"heads": keys, "all heads": scores.mean(-1), "bm25": words, "fused": fused}
    return {name: float((x.argmax(-1) == gold).float().mean()) for name, x in orders.items()}


def make_rows(questions: int, seed: int) -> tuple[Corpus, list[tuple[str, int]]]:
    """Return pages of made-up facts, and questions with the index of their page."""
    rng = random.Random(f"heads {seed}")
    pairs = [(name, kind) for name in _NAMES for kind in _KINDS]
    told: dict[tuple[str, tuple[str, str]], int] = {}
    pages: list[list[str]] = [[] for _ in range(PAGES)]
    for i in range(PAGES * _FACTS):
        free = [pair for pair in pairs if pair not in told]
        # When every fact is told, others fill the pages: of people nobody asks about.
        name, kind = rng.choice(free) if free else (f"Aunt {rng.choice(_PLACES)}", _KINDS[i % 10])
        if free:
            told[name, kind] = i % PAGES
        pages[i % PAGES].append(
            kind[0].format(
                name=name,
                place=rng.choice(_PLACES),
                job=rng.choice(_JOBS),
                count=rng.randint(2, 40),
            )
        )
    rows = [(kind[1].format(name=name), page) for (name, kind), page in told.items()]
    rng.shuffle(rows)
    texts = {"Notes": "\f".join(" ".join(facts) for facts in pages)}
    return Corpus.from_texts(texts), [rows[i % len(rows)] for i in range(questions)]


def choose_heads(scores: Tensor, gold: Tensor) -> list[int]:
    """Return the heads that together rank the pages wanted best.

    Args:
        scores: ``(questions, pages, heads)``.
        gold: The page wanted by each question ``(questions,)``.
    """
    single = [_mean_reciprocal_rank(scores[..., i], gold) for i in range(scores.shape[-1])]
    best = sorted(range(len(single)), key=lambda i: -single[i])
    groups = [best[:size] for size in _SIZES if size <= len(best)]
    # Of equals the smaller group: it is cheaper to keep and to compare.
    return max(groups, key=lambda g: _mean_reciprocal_rank(scores[..., g].mean(-1), gold))


def _score_heads(
    engine: Engine, texts: Sequence[str], questions: Sequence[str]
) -> Iterator[tuple[int, int, Tensor | None]]:
    """Yield tokens done and in all; at the end also scores ``(questions, pages, heads)``."""
    pages = PageAttention(engine.loaded.model)
    encode = engine.prompts.encode_passage
    blocks = [encode(i, "Notes", None, text) for i, text in enumerate(texts, 1)]
    asked = [encode_alone(engine, question) for question in questions]
    total = sum(map(len, blocks)) + sum(len(ids) for ids, _ in asked)
    layers = range(engine.loaded.model.config.get_text_config().num_hidden_layers)
    keys: list[Tensor] = [torch.empty(0)] * len(blocks)
    done = 0
    for i, state in pages.read_blocks(blocks):
        keys[i] = pages.key_vectors(state, layers)
        done += state.tokens
        yield done, total, None
    whole, sizes, rows = torch.cat(keys), [len(part) for part in keys], []
    for ids, skipped in asked:
        query = pages.query_vectors(ids, layers)[skipped:]
        alike = torch.einsum("thd,shd->ths", query, whole)
        rows.append(torch.stack([p.amax(-1).mean(0) for p in alike.split(sizes, dim=-1)]))
        done += len(ids)
        yield done, total, None
    yield total, total, torch.stack(rows)


def _score_words(corpus: Corpus, questions: Sequence[str]) -> Tensor:
    """Return BM25's scores ``(questions, pages)``."""
    edit = put_documents(Listing((), 1, {}, ""), corpus, replace=False)
    blocks = [block for held in edit.held for block in divide_document(held, "", None)]
    nothing = torch.empty(0)
    view = SearchView(blocks, lambda _: 0, lambda _: None, lambda _: nothing)
    selector = Bm25Selector(view)
    return torch.stack([torch.as_tensor(selector.scores(question)) for question in questions])


def _ranks(scores: Tensor) -> Tensor:
    """Return each page's place, from 1, in the order of its row's scores."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return order.argsort(dim=-1) + 1


def _mean_reciprocal_rank(scores: Tensor, gold: Tensor) -> float:
    ranks = _ranks(scores).gather(-1, gold[:, None])
    return float((1.0 / ranks).mean())


def _keep_profile(profile: ReadingProfile, path: Path) -> Path:
    make_cache_folder(path.parent)
    write_private(path, json.dumps(profile.to_dict()).encode(), replace=True)
    return path
