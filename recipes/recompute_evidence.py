"""Compute a run's figures again from its records alone, with no code of the package.

    python -m recipes.recompute_evidence evidence/prose-8k evidence/documents

Scores are computed from the predictions (or the losses of blocks), rows paired with memory off, and
intervals and p values drawn with another random generator. Prints a table and how far it is from
the report; ends with 1 where a score or a mean differs.
"""

from __future__ import annotations

import argparse
import json
import re
import string
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DRAWS = 10_000
REFUSAL = "The documents do not say."
Record = Mapping[str, Any]


def plain_words(text: str) -> list[str]:
    """Return lower-case words without punctuation and articles."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in bare.split() if word not in {"a", "an", "the"}]


def word_f1(said: str, gold: str) -> float:
    """Return the harmonic mean of precision and recall over words."""
    ours, theirs = Counter(plain_words(said)), Counter(plain_words(gold))
    common = sum(min(ours[word], theirs[word]) for word in ours)
    if not common:
        return 0.0
    precision, recall = common / sum(ours.values()), common / sum(theirs.values())
    return 2 * precision * recall / (precision + recall)


def score_again(record: Record, refusal: str) -> float | None:
    """Return a record's score from what it holds; None for a metric that is not known here."""
    if record["metric"] == "loss":
        size, count = record["block"], record["tokens"] - 1
        weights = [min(size, count - i * size) for i in range(len(record["losses"]))]
        first = count // 2 // size
        pairs = list(zip(record["losses"], weights, strict=True))[first:]
        return -sum(loss * weight for loss, weight in pairs) / sum(weight for _, weight in pairs)
    said = re.sub(r"\s*\[\d+(?:\s*,\s*\d+)*\]", "", record["prediction"]).strip()
    said = "" if said.rstrip(".") == refusal.rstrip(".") else said
    golds = record["answers"]
    if record["metric"] == "token_f1":
        return max((word_f1(said, gold) for gold in golds), default=0.0)
    if record["metric"] == "contains":
        return float(any(gold.lower() in said.lower() for gold in golds))
    if record["metric"] == "contains_all":
        return sum(gold.lower() in said.lower() for gold in golds) / max(len(golds), 1)
    return None


def split_by_text(values: np.ndarray, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the values of each text: its rows are drawn together, as they are not independent."""
    parts: dict[str, list[float]] = defaultdict(list)
    for value, text in zip(values, texts, strict=True):
        parts[text].append(float(value))
    return [np.array(part) for part in parts.values()]


def draw_interval(parts: list[np.ndarray], random: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over texts drawn with replacement."""
    counts = random.multinomial(len(parts), [1 / len(parts)] * len(parts), size=DRAWS)
    sums, sizes = np.array([p.sum() for p in parts]), np.array([len(p) for p in parts])
    low, high = np.percentile((counts @ sums) / (counts @ sizes), [2.5, 97.5])
    return float(low), float(high)


def draw_p_value(parts: list[np.ndarray], random: np.random.Generator) -> float:
    """Return how often random signs of the texts' differences give as large a mean."""
    sums = np.array([part.sum() for part in parts])
    signs = random.choice([-1.0, 1.0], size=(DRAWS, len(sums)))
    as_large = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9
    return float((as_large.sum() + 1) / (DRAWS + 1))


def keep_shared(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of rows that all arms have, as a run that was ended early has others."""
    arms = {record["arm"] for record in records}
    seen = Counter((record["id"], record["order"]) for record in records)
    return [r for r in records if seen[r["id"], r["order"]] == len(arms)]


def mean_by_row(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Return the mean score of each row by arm."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        found[record["arm"]][record["id"]].append(record["again"])
    return {arm: {i: float(np.mean(s)) for i, s in rows.items()} for arm, rows in found.items()}


def read_report(folder: Path) -> dict[str, tuple[float, float]]:
    """Return score and difference of each arm as the report's first table has them."""
    cells: dict[str, tuple[float, float]] = {}
    for line in (folder / "report.md").read_text(encoding="utf-8").splitlines():
        parts = [part.strip() for part in line.strip("|").split("|")]
        if len(parts) == 7 and re.fullmatch(r"\d+( about \d+ texts)?", parts[1]):
            arm = parts[0].partition(":")[0]
            difference = 0.0 if parts[3] == "-" else float(parts[3].split()[0])
            cells.setdefault(arm, (float(parts[2].split()[0]), difference))
    return cells


def recompute(folder: Path, refusal: str = REFUSAL) -> bool:
    """Print a run's figures, computed again; return True if they are those of its report."""
    text = (folder / "results.jsonl").read_text(encoding="utf-8")
    records = keep_shared([json.loads(line) for line in text.splitlines()])
    for record in records:
        again = score_again(record, refusal)
        record["again"] = record["score"] if again is None else again
    worst = max(abs(record["again"] - record["score"]) for record in records)
    rows, reported = mean_by_row(records), read_report(folder)
    texts = {record["id"]: record.get("reading", record["id"]) for record in records}
    print(f"{folder}: {len(records)} records, scores differ by at most {worst:.1e}")
    random, fits = np.random.default_rng(20), worst < 2e-5
    for arm, own in rows.items():
        both = sorted(own.keys() & rows["off"].keys())
        scores = np.array([own[i] for i in both])
        differences = scores - np.array([rows["off"][i] for i in both])
        parts = split_by_text(differences, [texts[i] for i in both])
        low, high = draw_interval(parts, random)
        shown, difference = reported.get(arm, (float("nan"), float("nan")))
        close = abs(shown - scores.mean()) < 6e-4 and abs(difference - differences.mean()) < 6e-4
        fits = fits and close
        print(
            f"  {arm:16} {len(both):4} rows  {scores.mean():.4f}  {differences.mean():+.4f} "
            f"[{low:+.4f}, {high:+.4f}]  p {draw_p_value(parts, random):.3f}"
            f"{'' if close else '   NOT AS REPORTED'}"
        )
    return fits


def main() -> None:
    """Recompute the runs on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--refusal", default=REFUSAL, help="the sentence that counts as silence")
    given = parser.parse_args()
    results = [recompute(folder, given.refusal) for folder in given.folders]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
