"""Answer a file of questions in batches, into a CSV with the page and the words of each answer.

    $ python -m recipes.batch_to_csv
    question,answer,document,page,quote,method,score
    When does the tenancy begin?,1 April 2025 [4],Rental contract,1,The tenancy begins on 1 April 2025.,cited,1.0
    How much is the security deposit?,"4,350 pounds [5]",Rental contract,2,"The security deposit is 4,350 pounds.",cited,1.0
    Where is the service centre?,Leeds [2],Heat pump warranty,2,Defects are reported to the service centre in Leeds.,cited,1.0
    How often is the filter cleaned?,three months [3],Heat pump warranty,3,The filter is cleaned every three months.,cited,1.0
    Where is the fire assembly point?,the car park of the library [8],Studio handbook,1,The fire assembly point is the car park of the library.,cited,1.0

The questions share every forward: reading what is held from memory, which is most of the work of a
token, is done once for all of them. Each gets the answer it would get alone.
"""  # noqa: E501

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pace_integrations import Answer, Corpus, Pace

COLUMNS = ("question", "answer", "document", "page", "quote", "method", "score")
QUESTIONS = (
    "When does the tenancy begin?",
    "How much is the security deposit?",
    "Where is the service centre?",
    "How often is the filter cleaned?",
    "Where is the fire assembly point?",
)


def rows(questions: Sequence[str], answers: Sequence[Answer]) -> Iterator[dict[str, object]]:
    """Yield one row for each question, with the best citation."""
    for question, answer in zip(questions, answers, strict=True):
        row: dict[str, object] = {"question": question, "answer": answer.text}
        if answer.citations:
            best = answer.citations[0]
            row |= {name: getattr(best, name) for name in COLUMNS[4:]}
            row |= {"document": best.document, "page": best.page_label or best.page}
        yield row


def write(out: TextIO, questions: Sequence[str], answers: Sequence[Answer]) -> None:
    """Write the table."""
    table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows(questions, answers))


def main(argv: Sequence[str] | None = None) -> None:
    """Ask and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["examples/documents"])
    parser.add_argument("--questions", type=Path, help="a text file, one question on a line")
    parser.add_argument("--batch", type=int, default=16, help="most questions in one forward")
    parser.add_argument("-o", "--output", type=Path, help="a CSV file; standard output else")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    lines = args.questions.read_text("utf-8").splitlines() if args.questions else QUESTIONS
    questions = [line.strip() for line in lines if line.strip()]
    with Pace.load(args.model) as pace:
        session = pace.read(Corpus.from_paths(args.paths))
        answers = session.ask_many(questions, batch=args.batch)
    if args.output is None:
        write(sys.stdout, questions, answers)
        return
    with args.output.open("w", encoding="utf-8", newline="") as out:
        write(out, questions, answers)


if __name__ == "__main__":
    main()
