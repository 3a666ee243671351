"""How likely an answer is right: a logistic curve over what is known of it.

python -m recipes.train_small.support ADAPTER --base BASE --data EVAL

The curve is fitted on questions that people wrote about articles the model was not trained on, a
third of them unanswerable. Each is asked as a library asks: of the passages that words find, one by
one. Curve and threshold are written into the adapter's `reading.json`.
"""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    number_passages,
    read_document,
)
from recipes.train_small.reading import Answerer, load_model

NAMES = ("bias", "refusal_log_odds", "log_likelihood", "log_agreement", "coverage")
SEED = 11
RIGHT_OVERLAP = 0.5
PRECISION = 0.9  # of the answers that count as supported


@dataclass(frozen=True)
class Judged:
    """An answer with what is known of it.

    Args:
        signals: What is known.
        right: Whether it is right.
    """

    signals: Signals
    right: bool


def ask(
    answerer: Answerer, passages: list[tuple[str, str]], question: str
) -> tuple[Signals, str] | None:
    """Ask as a library does; return what is known of the answer and its text, None if refused."""
    chosen = choose_passages(passages, question)
    replies, text, best = ask_each(answerer, chosen, question)
    reply = replies[best]
    if reply.refusal > THRESHOLD:
        return None
    answer, _ = metrics.split_citation(reply.insisted)
    coverage = measure_coverage(question, [text])
    agreement = answerer.agree(number_passages(chosen), question, answer)
    return Signals(reply.likelihood, reply.refusal, None, agreement, coverage), answer


def ask_articles(answerer: Answerer, path: Path, count: int) -> list[Judged]:
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
    judged = []
    for row in _mix(rows)[:count]:
        known = ask(answerer, passages[row["title"]], row["question"])
        if known:
            right = metrics.token_f1(known[1], row["answers"]) if row["answers"] else 0.0
            judged.append(Judged(known[0], right > RIGHT_OVERLAP))
    return judged


def _mix(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return two answerable questions to each unanswerable one, in a fixed random order."""
    random.Random(SEED).shuffle(rows)
    known, unknown = [r for r in rows if r["answers"]], [r for r in rows if not r["answers"]]
    triples = zip(known[::2], known[1::2], unknown, strict=False)
    return [row for triple in triples for row in triple]


def ask_lookups(answerer: Answerer, questions: Path, folder: Path) -> list[Judged]:
    """Ask look-ups on real documents, which no curve was fitted on."""
    read: dict[str, list[tuple[str, str]]] = {}
    judged = []
    for row in load_lookups(questions):
        if row["doc"] not in read:
            read[row["doc"]] = read_document(folder / row["doc"])
        known = ask(answerer, read[row["doc"]], row["question"])
        if known:
            judged.append(Judged(known[0], matches(known[1], row)))
    return judged


def fit_curve(judged: Sequence[Judged]) -> dict[str, float]:
    """Fit the weights by maximum likelihood, slightly held to zero."""
    rows = [[one.signals.to_features()[name] for name in NAMES] for one in judged]
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
    return dict(zip(NAMES, weights.tolist(), strict=True))


def choose_threshold(supports: Sequence[float], right: Sequence[bool]) -> float:
    """Return the least support from which answers are right often enough, 0.5 if there is none."""
    for least in sorted(set(supports)):
        kept = [r for s, r in zip(supports, right, strict=True) if s >= least]
        if sum(kept) >= PRECISION * len(kept):
            return round(least, 3)
    return 0.5


def describe(judged: Sequence[Judged], support: Mapping[str, float], threshold: float) -> str:
    """Return how well the curve tells right answers from wrong ones."""
    profile = ReadingProfile(support=support)
    supports = [profile.estimate_support(one.signals) for one in judged]
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
    given = parser.parse_args()
    torch.set_num_threads(1)
    answerer = Answerer(load_model(given.adapter, given.base), given.base)
    judged = ask_articles(answerer, given.data / "squad_dev.jsonl", given.rows)
    half = len(judged) // 2
    first = ReadingProfile(support=fit_curve(judged[:half]))
    rest = judged[half:]
    threshold = choose_threshold(
        [first.estimate_support(one.signals) for one in rest], [one.right for one in rest]
    )
    assert first.support is not None
    print("other half:", describe(rest, first.support, threshold))
    weights = fit_curve(judged)
    print("all:", describe(judged, weights, threshold))
    if given.lookups:
        found = ask_lookups(answerer, given.lookups, given.documents)
        print("look-ups:", describe(found, weights, threshold))
    path = given.adapter / "reading.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    # A verdict that the curve does not use is not worth asking for.
    content |= {"support": weights, "threshold": threshold, "verification": None}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"threshold {threshold}: {weights}")


if __name__ == "__main__":
    main()
