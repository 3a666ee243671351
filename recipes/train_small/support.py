"""How likely an answer is right: a logistic curve over what the model says of its answer.

python -m recipes.train_small.support ADAPTER --base BASE --data DATA

With `--verdict` the model's own verdict is among what the curve sees, and is asked for later too.

The curve is fitted on questions that people wrote, each asked of one passage, a third of them of
a passage that does not answer it, and is written into the adapter's `reading.json`.
"""

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from recipes.train_nano import formats, metrics
from recipes.train_small.evaluate import order_chance
from recipes.train_small.natural import Natural
from recipes.train_small.reading import Answerer, Reply, load_model

NAMES = ("bias", "log_likelihood", "refusal_log_odds", "verdict_log_odds")
SEED = "support"
RIGHT_OVERLAP = 0.5


def log_odds(chance: float) -> float:
    """Return the log odds of a probability, kept finite."""
    kept = min(1 - 1e-6, max(1e-6, chance))
    return math.log(kept / (1 - kept))


def features(reply: Reply) -> list[float]:
    """Return what the curve sees of an answer, by `NAMES`; the verdict only if it was asked for."""
    likelihood = math.log(max(1e-6, reply.likelihood))
    seen = [1.0, likelihood, log_odds(reply.refusal)]
    return seen if math.isnan(reply.support) else [*seen, log_odds(reply.support)]


def fit_curve(rows: Sequence[Sequence[float]], right: Sequence[bool]) -> Tensor:
    """Fit the weights by maximum likelihood, slightly held to zero."""
    x, y = torch.tensor(rows), torch.tensor(right, dtype=torch.float32)
    weights = torch.zeros(x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def loss() -> Tensor:
        optimizer.zero_grad()
        fitted = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights, y)
        value = fitted + 1e-3 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def ask_questions(
    answerer: Answerer, natural: Natural, count: int
) -> tuple[list[list[float]], list[bool]]:
    """Ask questions of one passage each and say which answers are right."""
    rng = random.Random(SEED)
    rows: list[list[float]] = []
    right: list[bool] = []
    while len(rows) < count:
        passages = [p for p in natural.draw(rng, 3, 0.6) if p.asked]
        for passage in passages:
            asked, hidden = rng.choice(passage.asked), rng.random() < 1 / 3
            shown = rng.choice(passages) if hidden else passage
            if hidden and not asked.is_missing_in(shown.text):
                continue
            text = formats.passage(1, shown.title, shown.label, shown.text)
            reply = answerer.answer([text], asked.question, by_page=True)
            answer, _ = metrics.split_citation(reply.insisted)
            rows.append(features(reply))
            right.append(not hidden and metrics.token_f1(answer, [asked.answer]) > RIGHT_OVERLAP)
    return rows, right


def main() -> None:
    """Fit the curve and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--verdict", action="store_true", help="let the model judge its answers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    answerer = Answerer(load_model(given.adapter, given.base), given.base, verify=given.verdict)
    rows, right = ask_questions(answerer, Natural(given.data / "qa.xz"), given.rows)
    half = len(rows) // 2
    fitted = torch.tensor(rows[half:]) @ fit_curve(rows[:half], right[:half])
    chances = list(zip(fitted.tolist(), right[half:], strict=True))
    area = order_chance([c for c, r in chances if r], [c for c, r in chances if not r])
    weights = dict(zip(NAMES, fit_curve(rows, right).tolist(), strict=False))
    print(f"{len(rows)} answers, {sum(right)} right, area on the other half {area:.3f}: {weights}")
    path = given.adapter / "reading.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"support": weights}
    if not given.verdict:  # a verdict that the curve does not use is not worth asking for
        content |= {"verification": None}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
