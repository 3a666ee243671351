"""Compare two reports: the same questions to both, and what differs.

    $ python -m recipes.compare_reports --differences
    ┏━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┓
    ┃ question                ┃ first                   ┃ second                 ┃         ┃
    ┡━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━┩
    │ What was the turnover?  │ 6.1 million pounds (p.  │ 6.8 million pounds (p. │ differs │
    │                         │ 1)                      │ 1)                     │         │
    │ How much did the fuel   │ 870,000 pounds (p. 2)   │ 790,000 pounds (p. 2)  │ differs │
    │ cost?                   │                         │                        │         │
    │ What is the largest     │ the Sula (p. 2)         │ the Gannet (p. 2)      │ differs │
    │ ship?                   │                         │                        │         │
    │ When does the next      │ 14 May 2025 (p. 2)      │ 6 May 2026 (p. 2)      │ differs │
    │ general meeting take    │                         │                        │         │
    │ place?                  │                         │                        │         │
    └─────────────────────────┴─────────────────────────┴────────────────────────┴─────────┘

Each report is read into a session of its own, so that no answer can come from the other one.
Answers are compared without their citation marks and without regard to case.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from pace_integrations import Answer, Corpus, Pace

REPORTS = [f"examples/reports/annual-report-{year}.pdf" for year in (2024, 2025)]
QUESTIONS = (
    "What was the turnover?",
    "How much did the fuel cost?",
    "Who was the managing director?",
    "What is the largest ship?",
    "How much did the new pier cost?",
    "When does the next general meeting take place?",
)


def ask(pace: Pace, path: str, questions: Sequence[str]) -> list[Answer]:
    """Return the answers of one report."""
    return pace.read(Corpus.from_paths(path)).ask_many(questions)


def plain(answer: Answer) -> str:
    """Return what is compared: the words, without ``[1]``."""
    return re.sub(r"\s*\[\d+\]", "", answer.text).strip().casefold()


def shown(answer: Answer) -> str:
    """Return an answer with the pages it rests on."""
    pages = ", ".join(f"p. {c.page_label or c.page}" for c in answer.citations)
    return re.sub(r"\s*\[\d+\]", "", answer.text) + (f" ({pages})" if pages else "")


def table(
    questions: Sequence[str], left: Sequence[Answer], right: Sequence[Answer], only: bool
) -> Table:
    """Return both answers side by side; with `only`, rows that differ."""
    found = Table("question", "first", "second", "")
    for question, a, b in zip(questions, left, right, strict=True):
        same = plain(a) == plain(b)
        if not (only and same):
            found.add_row(question, shown(a), shown(b), "" if same else "differs")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="*", default=REPORTS, help="two files")
    parser.add_argument("-q", "--question", action="append", help="instead of those above")
    parser.add_argument("--differences", action="store_true", help="leave out what is the same")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    if len(args.reports) != 2:
        parser.error("give two reports")
    questions = args.question or QUESTIONS
    with Pace.load(args.model) as pace:
        left, right = (ask(pace, path, questions) for path in args.reports)
    # What documents say is no markup of the table's.
    Console(markup=False, emoji=False).print(table(questions, left, right, args.differences))


if __name__ == "__main__":
    main()
