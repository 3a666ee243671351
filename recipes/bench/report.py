"""The report: medians with ranges, and ratios to the first arm of each case."""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq
from statistics import median
from typing import Any

HEADS = {
    "peers": "pace-small beside Transformers and llama.cpp",
    "integrations": "Sixteen questions to pace-small through the integrations",
    "page_rate": "Pages read one by one into a library: the first and the last ones",
    "same_answers": "Fifty questions to pace-small with packed weights",
    "read": "Reading",
    "chunks": "Reading in chunks of so many tokens",
    "growth": "What a chunk costs, by what was read before it",
    "second_question": "The second question over a document",
    "many": "Sixteen questions over one document",
    "many_long": "Sixteen questions with answers of 32 tokens",
    "open_saved": "Opening a saved session and getting a first token, against reading again",
    "precision": "Precisions",
    "held": "Keys and values in full precision and in eight bits",
    "limits": "The machine's limits",
}


def markdown(rows: Sequence[dict[str, Any]], command: str) -> str:
    """Return the report as Markdown.

    Args:
        rows: Cases with the runs of each arm.
        command: Arguments the runner was called with.
    """
    parts = [f"# Benchmarks\n\n`python -m recipes.bench {command}`\n"]
    parts.append("Medians of CPU seconds on one thread, lowest and highest in brackets.\n")
    for case, head in HEADS.items():
        tables = [_table(row) for row in rows if row["case"] == case]
        if tables:
            parts += [f"## {head}\n", *tables]
    return "\n".join(parts)


def _table(row: dict[str, Any]) -> str:
    runs: dict[str, list[dict[str, Any]]] = row["runs"]
    first = next(iter(runs.values()))
    shown = {k: v for results in runs.values() for k, v in results[0].items()}
    keys = [k for k, v in shown.items() if isinstance(v, float | int | str)]
    named = [row["key"]] if isinstance(row["key"], str) else list(row["key"])
    ratios = [key for key in named if key] if len(runs) > 1 else []
    head = ["arm", *keys, *(f"{key}: ratio" for key in ratios)]
    lines = [_line(head), _line(["---"] * len(head))]
    for arm, results in runs.items():
        cells = [arm, *(_cell([r[key] for r in results if key in r]) for key in keys)]
        for ratio in ratios:
            pairs = [
                (r, f) for r, f in zip(results, first, strict=True) if ratio in r and ratio in f
            ]
            cells.append(_cell([r[ratio] / f[ratio] for r, f in pairs]))
        lines.append(_line(cells))
    same = ""
    if "texts" in first[0]:
        told = first[0]["texts"]
        equal = {arm: sum(map(eq, told, r[0]["texts"])) for arm, r in [*runs.items()][1:]}
        same = "".join(
            f"\n{count} of {len(told)} answers are identical{of}.\n"
            for arm, count in equal.items()
            for of in ([f" ({arm})"] if len(equal) > 1 else [""])
        )
    return f"{row['tokens']:,} tokens:\n\n" + "\n".join(lines) + f"\n{same}"


def _cell(values: Sequence[Any]) -> str:
    if not values:
        return "-"
    if isinstance(values[0], str):
        return str(values[0])
    text = f"{median(values):.3g}" if median(values) < 1000 else f"{median(values):,.0f}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):.3g} to {max(values):.3g})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
