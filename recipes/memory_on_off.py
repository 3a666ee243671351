"""The activation memory on and off, side by side: answers, time to read, bytes held.

    $ python -m recipes.memory_on_off
    ┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┓
    ┃                                  ┃ memory on        ┃ memory off       ┃
    ┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━┩
    │ When does the tenancy begin?     │ 1 April 2025 [4] │ 1 April 2025 [4] │
    │ What is the refrigerant?         │ propane [1]      │ propane [1]      │
    │ How often is the filter cleaned? │ three months [3] │ three months [3] │
    │ seconds to read                  │ ...              │ ...              │
    │ weights, bytes                   │ 12,198,656       │ 12,198,656       │
    │ cache_per_token, bytes           │ 4,096            │ 4,096            │
    │ banks, bytes                     │ 909,864          │ 0                │
    │ lookups high / medium / low      │ 10 / 112 / 42    │ -                │
    └──────────────────────────────────┴──────────────────┴──────────────────┘

Both models read the same documents and answer the same questions. The last row says how often the
tokens of the answers found something like them in the banks: above the upper threshold, between
the two, and below the lower one, where the memory changes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from pace_integrations import Answer, Corpus, MemoryConfig, Pace

QUESTIONS = (
    "When does the tenancy begin?",
    "What is the refrigerant?",
    "How often is the filter cleaned?",
)


@dataclass(frozen=True)
class Arm:
    """One side.

    Attributes:
        seconds: Time to read.
        held: Bytes of weights, cache and banks, by name.
        answers: The answers, in the order of the questions.
    """

    seconds: float
    held: dict[str, int]
    answers: list[Answer]


def measure(
    model: str | None, memory: MemoryConfig | None, corpus: Corpus, questions: Sequence[str]
) -> Arm:
    """Read and ask with one setting of the memory."""
    with Pace.load(model, memory=memory) as pace:
        start = time.perf_counter()
        session = pace.read(corpus)
        seconds = time.perf_counter() - start
        return Arm(seconds, session.footprint(), [session.ask(q) for q in questions])


def rows(on: Arm, off: Arm, questions: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Return what is shown, side by side."""
    for question, a, b in zip(questions, on.answers, off.answers, strict=True):
        yield question, a.text, b.text
    yield "seconds to read", f"{on.seconds:.1f}", f"{off.seconds:.1f}"
    for name in on.held:
        yield f"{name}, bytes", f"{on.held[name]:,}", f"{off.held.get(name, 0):,}"
    counts = [answer.memory for answer in on.answers if answer.memory]
    sums = [sum(getattr(c, name) for c in counts) for name in ("high", "medium", "low")]
    yield "lookups high / medium / low", " / ".join(f"{n:,}" for n in sums), "-"


def main(argv: Sequence[str] | None = None) -> None:
    """Print both sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["examples/documents"])
    parser.add_argument("-q", "--question", action="append", help="instead of those above")
    parser.add_argument("--rule", default="released", help="released, paper or slotwise")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    corpus, questions = Corpus.from_paths(args.paths), args.question or QUESTIONS
    settings = (MemoryConfig(rule=args.rule), None)
    on, off = (measure(args.model, memory, corpus, questions) for memory in settings)
    table = Table("", "memory on", "memory off")
    for row in rows(on, off, questions):
        table.add_row(*row)
    # What documents say is no markup of the table's.
    Console(markup=False, emoji=False).print(table)


if __name__ == "__main__":
    main()
