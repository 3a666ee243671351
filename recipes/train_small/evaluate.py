"""The table of the model card.

python -m recipes.train_small.evaluate MODEL --base BASE --data EVAL

MODEL is an adapter in PEFT's format or a whole model; everything runs with plain Transformers.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from pace_integrations._bm25 import BM25, tokenize
from recipes.train_nano import metrics, tasks
from recipes.train_nano.tasks import Item
from recipes.train_small.lookups import look_up
from recipes.train_small.reading import Answerer, Reply, load_lookups, load_model

LENGTHS = (1024, 4096, 8192)
Line = tuple[str, int, dict[str, float]]


def mean(values: Sequence[float]) -> float:
    """Return the mean, not a number where there is none."""
    return sum(values) / len(values) if values else float("nan")


def order_chance(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Return how often a right one has more than a wrong one (the area under the curve)."""
    pairs = [(a > b) + 0.5 * (a == b) for a in right for b in wrong]
    return mean([float(p) for p in pairs])


def judge(items: Sequence[Item], replies: Sequence[Reply]) -> dict[str, float]:
    """Compare replies with what was asked for."""
    found: dict[str, list[float]] = {}
    refusals: dict[bool, list[float]] = {True: [], False: []}
    supports: dict[bool, list[float]] = {True: [], False: []}
    scores: dict[bool, list[float]] = {True: [], False: []}
    for item, reply in zip(items, replies, strict=True):
        answer, page = metrics.split_citation(reply.text)
        refused = float(metrics.refuses(answer))
        refusals[bool(item.answers)].append(reply.refusal)
        insisted, _ = metrics.split_citation(reply.insisted)
        if not item.answers:
            found.setdefault("unanswerable refused", []).append(refused)
            supports[False].append(reply.support)
            scores[False].append(reply.score)
            continue
        found.setdefault("F1", []).append(metrics.token_f1(answer, item.answers))
        found.setdefault("citation", []).append(float(page in item.pages))
        found.setdefault("answerable refused", []).append(refused)
        found.setdefault("F1 insisting", []).append(metrics.token_f1(insisted, item.answers))
        right = metrics.token_f1(insisted, item.answers) > 0.5
        supports[right].append(reply.support)
        scores[right].append(reply.score)
    shares = {name: mean(values) for name, values in found.items()}
    if refusals[False]:
        shares["refusal AUC"] = order_chance(refusals[False], refusals[True])
    if scores[True] and scores[False]:
        shares["score AUC"] = order_chance(scores[True], scores[False])
    if supports[True] and supports[True][0] == supports[True][0]:
        shares["support AUC"] = order_chance(supports[True], supports[False])
    return shares


def asked(answerer: Answerer, items: Sequence[Item], *, by_page: bool) -> dict[str, float]:
    """Ask about items in one prompt each."""
    replies = [answerer.answer(i.passages, i.question, by_page=by_page) for i in items]
    return judge(items, replies)


def asked_each(answerer: Answerer, items: Sequence[Item]) -> dict[str, float]:
    """Ask about every passage by itself and take the best reply."""
    best = []
    for item in items:
        replies = [answerer.answer([p], item.question, by_page=True) for p in item.passages]
        best.append(max(replies, key=lambda r: r.score))
    return judge(items, best)


def recall(answerer: Answerer, items: Sequence[Item]) -> dict[str, float]:
    """Return how many of the right passages are among the first as many, by keys and by words."""
    kept: tuple[list[float], ...] = ([], [], [])
    for item in items:
        own = answerer.find(item.passages, item.question)
        index = BM25()
        index.index(
            tokenize(item.passages, stopwords="en", show_progress=False), show_progress=False
        )
        query = tokenize([item.question], stopwords="en", show_progress=False, return_ids=False)
        other = index.get_scores(query[0]).tolist()
        ranks = [sorted(range(len(s)), key=lambda i: -s[i]) for s in (own, other)]
        both = [-sum(1 / (10 + r.index(i)) for r in ranks) for i in range(len(own))]
        ranks.append(sorted(range(len(both)), key=both.__getitem__))
        for rank, shares in zip(ranks, kept, strict=True):
            first = {i + 1 for i in rank[: len(item.pages)]}
            shares.append(len(first & item.pages) / len(item.pages))
    names = ("recall by keys", "by BM25", "fused")
    return {name: mean(shares) for name, shares in zip(names, kept, strict=True)}


def mixed(items: list[Item], count: int) -> list[Item]:
    """Take `count` answerable and as many unanswerable items."""
    return [i for i in items if i.answers][:count] + [i for i in items if not i.answers][:count]


def table(
    answerer: Answerer, data: Path, count: int, lookups: tuple[Path, Path] | None
) -> Iterator[tuple[str, Callable[[], Line]]]:
    """Return every line's name with how to measure it."""

    def line(
        name: str, items: Sequence[Item], measure: Callable[[Sequence[Item]], dict[str, float]]
    ) -> tuple[str, Callable[[], Line]]:
        return name, lambda: (name, len(items), measure(items))

    one = mixed(tasks.squad(data, 1, 600), count)
    ten = [i for i in tasks.squad(data, 10, 600) if i.answers][:count]
    hops = tasks.two_wiki(data, count)
    full = lambda items: asked(answerer, items, by_page=False)  # noqa: E731
    pages = lambda items: asked(answerer, items, by_page=True)  # noqa: E731
    yield line("SQuAD 2.0, 1 passage, full", one, full)
    yield line("SQuAD 2.0, 1 passage, by page", one, pages)
    yield line("SQuAD 2.0, 10 passages, full", ten, full)
    yield line("SQuAD 2.0, 10 passages, by page", ten, pages)
    yield line("SQuAD 2.0, 10 passages, each", ten, lambda items: asked_each(answerer, items))
    yield line("2Wiki, 10 passages, full", hops, full)
    yield line("2Wiki, 10 passages, by page", hops, pages)
    for length in LENGTHS:
        planted = tasks.planted(data, length, max(12, count * LENGTHS[0] // length))
        yield line(f"planted facts, {length} tokens, full", planted, full)
        yield line(f"planted facts, {length} tokens, by page", planted, pages)
    yield line("recall, SQuAD 2.0 of 10", ten, lambda items: recall(answerer, items))
    yield line("recall, 2Wiki of 10", hops, lambda items: recall(answerer, items))
    if lookups:
        count = len(load_lookups(lookups[0]))
        for way in ("each", "together", "whole"):
            ask = partial(look_up, answerer, *lookups, way=way)
            name = f"look-ups, {way}"
            yield name, partial(lambda name, ask: (name, count, ask()), name, ask)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="converted base, with tokenizer")
    parser.add_argument("--data", type=Path, default=Path("data/eval"), help="evaluation rows")
    parser.add_argument("--rows", type=int, default=100, help="rows of a line, fewer of long ones")
    parser.add_argument(
        "--only", nargs="*", default=[], help="lines whose names contain one of these"
    )
    parser.add_argument("--lookups", type=Path, help="questions of look-ups, JSON lines")
    parser.add_argument("--documents", type=Path, help="folder of their documents")
    parser.add_argument("--verify", action="store_true", help="ask for a verdict on each answer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    given = arguments()
    torch.set_num_threads(given.threads)
    model = load_model(given.model, given.base, getattr(torch, given.dtype))
    answerer = Answerer(model, given.base, verify=given.verify)
    lookups = (given.lookups, given.documents) if given.lookups else None
    print("| line | n | measures | seconds |\n| --- | --- | --- | --- |", flush=True)
    for name, measure in table(answerer, given.data, given.rows, lookups):
        if given.only and not any(part in name for part in given.only):
            continue
        begun = time.monotonic()
        name, count, shares = measure()
        cells = ", ".join(f"{k} {v:.3f}" for k, v in shares.items())
        print(f"| {name} | {count} | {cells} | {time.monotonic() - begun:.0f} |", flush=True)


if __name__ == "__main__":
    main()
