"""How likely an answer is right: a logistic curve over what is known of it.

python -m recipes.train_small.support ADAPTER --base BASE --data EVAL

It is fitted on questions about articles that the model was not trained on; see `asked.py`. Curve
and threshold are written into the adapter's `reading.json`.
"""

import argparse
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pace_integrations.library.profile import ReadingProfile
from recipes.train_small.asked import (
    ARTICLES,
    LOOKUPS,
    Asked,
    Judged,
    ask_articles,
    ask_lookups,
    load_asked,
    save_asked,
)
from recipes.train_small.evaluate import order_chance
from recipes.train_small.reading import Answerer, load_model

NAMES = (
    "bias",
    "refusal_log_odds",
    "log_likelihood",
    "coverage",
    "verdict_log_odds",
    "mean_refusal_log_odds",
    "negated",
    "question_gain",
)
# By their names in `reading.json`, what the curves of both ways to ask weigh.
CURVES = {"support": NAMES, "support_together": (*NAMES[:5], "negated")}
PARTS = 10
PRECISION = 0.9  # of the answers that count as supported


def choose_answer(asked: Asked, profile: ReadingProfile) -> tuple[Judged, float]:
    """Return the answer that a library gives, which is the best supported one, and its support."""
    supports = [profile.estimate_support(one.signals) for one in asked.candidates]
    best = max(range(len(supports)), key=supports.__getitem__)
    return asked.candidates[best], supports[best]


def fit_curve(judged: Sequence[Judged], names: Sequence[str] = NAMES) -> dict[str, float]:
    """Fit the weights by maximum likelihood, slightly held to zero."""
    rows = [[one.signals.to_features()[name] for name in names] for one in judged]
    x, y = torch.tensor(rows), torch.tensor([float(one.right) for one in judged])
    weights = torch.zeros(x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        fitted = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights, y)
        value = fitted + 1e-5 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return dict(zip(names, weights.tolist(), strict=True))


def list_first(asked: Iterable[Asked]) -> list[Judged]:
    """Return the answers with the best scores that are no refusals, which curves are fitted to."""
    first = (one.candidates[0] for one in asked)
    return [judged for judged in first if not judged.refused]


def answer_apart(asked: Sequence[Asked], names: Sequence[str]) -> list[tuple[Judged, float]]:
    """Return the answer to each question, with its support by a curve of the other questions."""
    parts = [zlib.crc32(one.question.encode()) % PARTS for one in asked]
    found = []
    for part in range(PARTS):
        others = [one for one, own in zip(asked, parts, strict=True) if own != part]
        profile = ReadingProfile(support=fit_curve(list_first(others), names))
        for i, own in enumerate(parts):
            if own == part:
                found.append((i, *choose_answer(asked[i], profile)))
    return [(judged, support) for _, judged, support in sorted(found, key=lambda one: one[0])]


def choose_threshold(answers: Sequence[tuple[float, bool]]) -> float:
    """Return the least support from which answers are right often enough, 0.5 if there is none.

    Args:
        answers: Support of each answer, and whether it is right.
    """
    for least in sorted({support for support, _ in answers}):
        kept = [right for support, right in answers if support >= least]
        if sum(kept) >= PRECISION * len(kept):
            return round(least, 3)
    return 0.5


def describe(answers: Sequence[tuple[Judged, float]], profile: ReadingProfile) -> str:
    """Return how well support tells right answers from wrong ones."""
    shown = [(judged.right, support) for judged, support in answers if not judged.refused]
    right = [support for is_right, support in shown if is_right]
    wrong = [support for is_right, support in shown if not is_right]
    kept, passed = (sum(map(profile.is_supported, supports)) for supports in (right, wrong))
    area = f"; area {order_chance(right, wrong):.3f}" if right and wrong else ""
    return (
        f"{len(answers)} asked, {len(answers) - len(shown)} refused, {len(right)} right, "
        f"{len(wrong)} wrong; of {kept + passed} supported {kept} right, of the wrong "
        f"{len(wrong) - passed} marked{area}"
    )


def main() -> None:
    """Fit the curve and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="evaluation rows")
    parser.add_argument("--rows", type=int, default=438)
    parser.add_argument("--lookups", type=Path, help="questions of look-ups, to test the curve on")
    parser.add_argument("--documents", type=Path, help="folder of their documents")
    parser.add_argument("--judged", type=Path, help="where answers are kept for another fit")
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = load_asked(given.judged)
    if not asked:
        answerer = Answerer(load_model(given.adapter, given.base), given.base, verify=True)
        if given.lookups:
            asked += ask_lookups(answerer, given.lookups, given.documents)
        asked += ask_articles(answerer, given.data / "squad_dev.jsonl", given.rows)
        save_asked(given.judged, asked)
    path = given.adapter / "reading.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= fit_profile(asked)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for line in report_lines(asked, ReadingProfile.from_dict(content)):
        print(line)


def fit_profile(asked: Iterable[Asked]) -> dict[str, Any]:
    """Return the curves and their threshold, by their names in `reading.json`."""
    fitted: dict[str, Any] = {"threshold": 0.0}
    for name, own in _split_articles(asked).items():
        apart = answer_apart(own, CURVES[name])
        # Chosen on answers that no curve was fitted on, and right enough in both ways. Altered
        # questions are there to mislead, in a number that says nothing of what people ask: curves
        # learn from them, and the report says how many pass.
        shown = [
            (support, judged.right)
            for one, (judged, support) in zip(own, apart, strict=True)
            if one.kind != "altered" and not judged.refused
        ]
        fitted["threshold"] = max(fitted["threshold"], choose_threshold(shown))
        fitted[name] = fit_curve(list_first(own), CURVES[name])
    return fitted


def _split_articles(asked: Iterable[Asked]) -> dict[str, list[Asked]]:
    """Return questions about articles by the curve that is fitted to them."""
    found: dict[str, list[Asked]] = {name: [] for name in CURVES}
    for one in asked:
        if one.kind in ARTICLES:
            found["support_together" if one.together else "support"].append(one)
    return found


def report_lines(asked: Sequence[Asked], profile: ReadingProfile) -> Iterator[str]:
    """Yield how reliable support is, of articles by curves of the other questions."""
    for name, own in _split_articles(asked).items():
        apart = answer_apart(own, CURVES[name])
        yield f"{name}: {describe(apart, profile)}"
        yield f"  refusal and likelihood alone: {describe(answer_apart(own, NAMES[:3]), profile)}"
        for kind in ARTICLES:
            mine = [answer for answer, one in zip(apart, own, strict=True) if one.kind == kind]
            yield f"  {kind}: {describe(mine, profile)}"
        together = name == "support_together"
        for kind in LOOKUPS:
            mine = [
                choose_answer(one, profile)
                for one in asked
                if one.kind == kind and one.together is together
            ]
            yield f"  {kind}: {describe(mine, profile)}"


if __name__ == "__main__":
    main()
