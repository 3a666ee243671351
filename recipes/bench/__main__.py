"""Runs the benchmarks and writes one report, as JSON and as Markdown.

    python -m recipes.bench --out REPORT_FOLDER            # all of it, some hours on one core
    python -m recipes.bench --only second_question --runs 1
    python -m recipes.bench --only peers --arms llama.cpp int4 --runs 5
    python -m recipes.bench --device cuda                  # pace-small beside its peers on a GPU

Every measurement runs in a process of its own; the arms of a case take turns, and the report has
their medians and ranges. Times are CPU seconds, so that other programs do not stretch them; on
another device they are seconds of the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipes.bench.cases import MISSING
from recipes.bench.measure import DEVICE
from recipes.bench.peers import KEYS as PEER_KEYS
from recipes.bench.report import markdown

# Case, lengths, arms (the first is what the others are compared with), key of the ratio.
PLAN: list[tuple[str, tuple[int, ...], tuple[str, ...], str | tuple[str, ...]]] = [
    (
        "peers",
        (4096,),
        ("transformers", "llama.cpp", "off", "memory", "kv int8", "int8", "int4"),
        PEER_KEYS,
    ),
    ("integrations", (2048,), ("ask_many", "ChatPace", "PaceLLM"), "seconds"),
    ("page_rate", (100_000,), ("library",), ""),
    ("same_answers", (2048,), ("bfloat16", "int8", "int4"), "seconds"),
    ("read", (2048, 8192, 32000), ("transformers", "off", "released", "slotwise"), "seconds"),
    ("chunks", (8192,), ("1024", "256", "512", "2048", "4096"), "seconds"),
    ("growth", (32000,), ("off",), "seconds"),
    (
        "second_question",
        (8192,),
        ("ours", "memory", "generate", "generate anew", "HuggingFacePipeline", "HuggingFaceLLM"),
        "first token, s",
    ),
    ("many", (2048, 8192), ("one by one", "together"), "seconds"),
    ("many_long", (2048, 8192), ("one by one", "together"), "seconds"),
    ("open_saved", (2048, 8192, 31000), ("read again", "open"), "seconds"),
    (
        "precision",
        (2048,),
        ("float32", "bfloat16", "int8", "int4", "nf4"),
        "reading, tokens per second",
    ),
    ("held", (8192,), ("full", "int8"), "writing, tokens per second"),
    ("limits", (8192,), ("machine",), ""),
    ("read", (100_000,), ("off", "released"), "seconds"),
]
ONCE = ("limits", "growth", "page_rate", "same_answers")


def measure(case: str, arm: str, tokens: int, threads: int) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "recipes.bench.cases", case, arm, str(tokens), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case} {arm} {tokens} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Parse the command line, measures and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument(
        "--only", nargs="*", choices=[*dict.fromkeys(p[0] for p in PLAN)], help="all by default"
    )
    parser.add_argument("--tokens", type=int, nargs="*", help="lengths instead of the plan's")
    parser.add_argument(
        "--runs",
        "--pairs",
        type=int,
        default=3,
        help="measurements of each arm, one beyond 30,000 tokens",
    )
    parser.add_argument("--arms", nargs="*", help="some arms of the cases; all by default")
    parser.add_argument(
        "--device", default="cpu", help="where the model runs; elsewhere than on cpu: peers alone"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ[DEVICE] = options.device
    only = options.only or ([] if options.device == "cpu" else ["peers"])
    for case, lengths, planned, key in PLAN:
        arms = [arm for arm in planned if not options.arms or arm in options.arms]
        if (only and case not in only) or not arms:
            continue
        for tokens in options.tokens or lengths:
            pairs = 1 if case in ONCE or tokens > 30_000 else options.runs
            runs = _runs(case, arms, tokens, pairs, options.threads)
            rows.append({"case": case, "tokens": tokens, "key": key, "runs": runs})
            # What has been measured is kept if the rest is interrupted.
            (options.out / "report.json").write_text(json.dumps(rows, indent=1))
            text = markdown(rows, " ".join(sys.argv[1:]))
            (options.out / "report.md").write_text(text)
    if not rows:
        parser.error("no case has such arms")
    print(text)


def _runs(
    case: str, arms: Sequence[str], tokens: int, pairs: int, threads: int
) -> dict[str, list[dict[str, Any]]]:
    """Run the arms in turn, `pairs` times; a peer that is not installed is left out."""
    runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    for _ in range(pairs):
        for arm in [*runs]:
            result = measure(case, arm, tokens, threads)
            if MISSING in result:
                print(case, arm, result[MISSING], file=sys.stderr, flush=True)
                del runs[arm]
                continue
            runs[arm].append(result)
            print(case, tokens, arm, _short(result), file=sys.stderr, flush=True)
    return runs


def _short(result: dict[str, Any]) -> str:
    return " ".join(f"{k} {v:.4g}" for k, v in result.items() if isinstance(v, float))


if __name__ == "__main__":
    main()
