"""How likely an answer is right: a logistic curve over what is known of it.

python -m recipes.train_small.support ADAPTER --base BASE --data EVAL

The curve is fitted on questions that people wrote about articles the model was not trained on, a
third of them unanswerable. Each is asked as a library asks: of the passages that words find, one by
one. Curve and threshold are written into the adapter's `reading.json`.
"""

import argparse
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pace_integrations.library.passages import split_page
from pace_integrations.library.profile import ReadingProfile, Signals
from pace_integrations.library.signals import measure_coverage
from recipes.train_nano import formats, metrics
from recipes.train_nano.tasks import read_rows
from recipes.train_small.evaluate import order_chance
from recipes.train_small.lookups import (
    THRESHOLD,
    ask_each,
    choose_passages,
    load_lookups,
    matches,
    read_document,
)
from recipes.train_small.reading import Answerer, load_model

NAMES = ("bias", "refusal_log_odds", "log_likelihood", "coverage", "verdict_log_odds")
SEED, PARTS = 11, 10
RIGHT_OVERLAP = 0.5
COMPARED = 2  # candidates of a question whose support a library compares
PRECISION = 0.85  # of the answers that count as supported


@dataclass(frozen=True)
class Judged:
    """An answer with what is known of it.

    Args:
        signals: What is known.
        right: Whether it is right.
    """

    signals: Signals
    right: bool

    @property
    def refused(self) -> bool:
        """Return True where a library refuses to answer instead."""
        return self.signals.refusal > THRESHOLD


Candidates = list[Judged]  # the best answers to one question, the one with the best score first


def ask(
    answerer: Answerer,
    passages: list[tuple[str, str]],
    question: str,
    is_right: Callable[[str], bool],
) -> Candidates:
    """Ask as a library does, and return the answers whose support it compares."""
    chosen = choose_passages(passages, question)
    replies, _, _ = ask_each(answerer, chosen, question)
    found = []
    for i in sorted(range(len(replies)), key=lambda i: -replies[i].score)[:COMPARED]:
        answer, _ = metrics.split_citation(replies[i].insisted)
        coverage = measure_coverage(question, [chosen[i][1]])
        signals = Signals(
            replies[i].likelihood, replies[i].refusal, replies[i].support, None, coverage
        )
        found.append(Judged(signals, is_right(answer)))
    return found


def choose_answer(candidates: Candidates, support: Mapping[str, float] | None) -> Judged:
    """Return the answer that a library gives: the best supported one, the first without a curve."""
    if support is None:
        return candidates[0]
    profile = ReadingProfile(support=support)
    return max(candidates, key=lambda one: profile.estimate_support(one.signals))


def ask_articles(answerer: Answerer, path: Path, count: int) -> list[Candidates]:
    """Ask questions of SQuAD 2.0 about whole articles."""
    rows = read_rows(path, 100_000)
    articles: dict[str, dict[str, None]] = {}
    for row in rows:
        articles.setdefault(row["title"], {})[row["context"]] = None
    passages = {
        title: [
            (formats.passage(1, title, None, part.text), part.text)
            for context in contexts
            for part in split_page(context)
        ]
        for title, contexts in articles.items()
    }
    return [
        ask(answerer, passages[row["title"]], row["question"], partial(_overlaps, row["answers"]))
        for row in _mix(rows)[:count]
    ]


def _overlaps(answers: Sequence[str], answer: str) -> bool:
    return bool(answers) and metrics.token_f1(answer, answers) > RIGHT_OVERLAP


def _mix(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return two answerable questions to each unanswerable one, in a fixed random order."""
    random.Random(SEED).shuffle(rows)
    known, unknown = [r for r in rows if r["answers"]], [r for r in rows if not r["answers"]]
    triples = zip(known[::2], known[1::2], unknown, strict=False)
    return [row for triple in triples for row in triple]


def ask_lookups(answerer: Answerer, questions: Path, folder: Path) -> list[Candidates]:
    """Ask look-ups on real documents, which no curve was fitted on."""
    read: dict[str, list[tuple[str, str]]] = {}
    judged = []
    for row in load_lookups(questions):
        if row["doc"] not in read:
            read[row["doc"]] = read_document(folder / row["doc"])
        right = partial(matches, row=row)
        judged.append(ask(answerer, read[row["doc"]], row["question"], right))
    return judged


def fit_curve(judged: Sequence[Judged], names: Sequence[str] = NAMES) -> dict[str, float]:
    """Fit the weights by maximum likelihood, slightly held to zero."""
    rows = [[one.signals.to_features()[name] for name in names] for one in judged]
    x, y = torch.tensor(rows), torch.tensor([float(one.right) for one in judged])
    weights = torch.zeros(x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def loss() -> Tensor:
        optimizer.zero_grad()
        fitted = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights, y)
        value = fitted + 1e-3 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return dict(zip(names, weights.tolist(), strict=True))


def estimate_apart(judged: Sequence[Judged], names: Sequence[str]) -> list[float]:
    """Return the support of each answer by a curve that was fitted without its part."""
    found = [0.0] * len(judged)
    for part in range(PARTS):
        fitted = [one for i, one in enumerate(judged) if i % PARTS != part]
        profile = ReadingProfile(support=fit_curve(fitted, names))
        for i in range(part, len(judged), PARTS):
            found[i] = profile.estimate_support(judged[i].signals)
    return found


def choose_threshold(supports: Sequence[float], right: Sequence[bool]) -> float:
    """Return the least support from which answers are right often enough, 0.5 if there is none."""
    for least in sorted(set(supports)):
        kept = [r for s, r in zip(supports, right, strict=True) if s >= least]
        if sum(kept) >= PRECISION * len(kept):
            return round(least, 3)
    return 0.5


def describe(judged: Sequence[Judged], supports: Sequence[float], threshold: float) -> str:
    """Return how well supports tell right answers from wrong ones."""
    right = [s for s, one in zip(supports, judged, strict=True) if one.right]
    wrong = [s for s, one in zip(supports, judged, strict=True) if not one.right]
    kept, caught = sum(s >= threshold for s in right), sum(s < threshold for s in wrong)
    shown = kept + len(wrong) - caught
    return (
        f"{len(right)} right, {len(wrong)} wrong; of {shown} supported {kept} right, of the wrong "
        f"{caught} marked; area {order_chance(right, wrong):.3f}"
    )


def main() -> None:
    """Fit the curve and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="evaluation rows")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--lookups", type=Path, help="questions of look-ups, to test the curve on")
    parser.add_argument("--documents", type=Path, help="folder of their documents")
    parser.add_argument("--judged", type=Path, help="where answers are kept for another fit")
    given = parser.parse_args()
    torch.set_num_threads(1)
    articles, lookups = _load(given.judged)
    if not articles:
        answerer = Answerer(load_model(given.adapter, given.base), given.base, verify=True)
        if given.lookups:
            lookups = ask_lookups(answerer, given.lookups, given.documents)
        articles = ask_articles(answerer, given.data / "squad_dev.jsonl", given.rows)
        _save(given.judged, articles, lookups)
    first = [one for one in (choose_answer(c, None) for c in articles) if not one.refused]
    right = [one.right for one in first]
    for names in (NAMES[:3], NAMES):
        # Chosen on answers that no curve was fitted on, each by a curve of the others.
        apart = estimate_apart(first, names)
        threshold = choose_threshold(apart, right)
        print(f"{', '.join(names[1:])}: {describe(first, apart, threshold)}")
    weights = fit_curve(first)  # of all names, as the last threshold
    profile = ReadingProfile(support=weights)
    for name, support in (("by score", None), ("by support", weights)):
        answers = [choose_answer(candidates, support) for candidates in lookups]
        shown = [one for one in answers if not one.refused]
        supports = [profile.estimate_support(one.signals) for one in shown]
        refused = len(answers) - len(shown)
        if shown:
            print(f"look-ups {name}, {refused} refused:", describe(shown, supports, threshold))
    path = given.adapter / "reading.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"support": weights, "threshold": threshold}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"threshold {threshold}: {weights}")


def _load(path: Path | None) -> tuple[list[Candidates], list[Candidates]]:
    """Return answers about articles and look-ups that were kept."""
    if path is None or not path.exists():
        return [], []
    articles, lookups = (
        [[Judged(Signals(**one["signals"]), one["right"]) for one in found] for found in part]
        for part in json.loads(path.read_text(encoding="utf-8"))
    )
    return articles, lookups


def _save(path: Path | None, *parts: Sequence[Candidates]) -> None:
    if path is not None:
        kept = [[[asdict(one) for one in found] for found in part] for part in parts]
        path.write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
