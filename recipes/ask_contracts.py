"""Ask a folder of contracts, and see on which page every answer stands.

    $ python -m recipes.ask_contracts
    ┏━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━┳━━━━━━━━━━━━━━━━━━━┓
    ┃ question          ┃ answer            ┃ document          ┃ page ┃ it says there     ┃
    ┡━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━╇━━━━━━━━━━━━━━━━━━━┩
    │ When does the     │ 1 April 2025 [4]  │ Rental contract   │ 1    │ The tenancy       │
    │ tenancy begin?    │                   │                   │      │ begins on 1 April │
    │                   │                   │                   │      │ 2025.             │
    │ How much is the   │ 4,350 pounds [5]  │ Rental contract   │ 2    │ The security      │
    │ security deposit? │                   │                   │      │ deposit is 4,350  │
    │                   │                   │                   │      │ pounds.           │
    │ What is the       │ six months [6]    │ Rental contract   │ 3    │ The notice period │
    │ notice period for │                   │                   │      │ for the tenant is │
    │ the tenant?       │                   │                   │      │ six months.       │
    │ How long is the   │ 24 months [2]     │ Heat pump         │ 2    │ The warranty      │
    │ warranty period   │                   │ warranty          │      │ period for the    │
    │ for the heat      │                   │                   │      │ heat pump is 24   │
    │ pump?             │                   │                   │      │ months.           │
    │ What is the name  │ The documents do  │                   │      │                   │
    │ of the tenant's   │ not say.          │                   │      │                   │
    │ dog?              │                   │                   │      │                   │
    └───────────────────┴───────────────────┴───────────────────┴──────┴───────────────────┘

The folder is read once; every question after that costs only its own tokens. A question that the
contracts do not answer gets no page. Needs the ``cli`` extra for the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from pace_integrations import Answer, Corpus, Pace

QUESTIONS = (
    "When does the tenancy begin?",
    "How much is the security deposit?",
    "What is the notice period for the tenant?",
    "How long is the warranty period for the heat pump?",
    "What is the name of the tenant's dog?",
)


def ask(pace: Pace, paths: Sequence[str], questions: Sequence[str]) -> dict[str, Answer]:
    """Return the answer to each question, over all the files together."""
    corpus = Corpus.from_paths(paths)
    for file in corpus.report.problems:
        print(f"{file.path}: {file.status}. {file.remedy}")
    session = pace.read(corpus)
    return {question: session.ask(question) for question in questions}


def table(answers: dict[str, Answer]) -> Table:
    """Return one row for each page that an answer rests on."""
    found = Table("question", "answer", "document", "page", "it says there")
    for question, answer in answers.items():
        if not answer.citations:
            found.add_row(question, answer.text)
        for i, c in enumerate(answer.citations):
            said = ("", "") if i else (question, answer.text)
            found.add_row(*said, c.document, c.page_label or str(c.page), c.quote)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["examples/documents"])
    parser.add_argument("-q", "--question", action="append", help="instead of those above")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    with Pace.load(args.model) as pace:
        answers = ask(pace, args.paths, args.question or QUESTIONS)
    # What documents say is no markup of the table's.
    Console(markup=False, emoji=False).print(table(answers))


if __name__ == "__main__":
    main()
