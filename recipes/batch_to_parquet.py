"""Answer many questions about many libraries on a Ray cluster, into Parquet with citations.

    $ python -m recipes.batch_to_parquet questions.csv -o answers --actors 2

``questions.csv`` has the columns ``library`` (a folder or an address such as s3://bucket/reports,
made with ``pace read``) and ``question``. Questions of one library stay together, so an actor opens
it once; a page that nobody has read is read when it is chosen, by that actor alone. The columns of
the answers are those of `COLUMNS`; ``pandas.read_parquet("answers")`` reads them.

It needs ``pip install 'pace-integrations[ray]' 'ray[data]'``.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pace_integrations import Answer, GenerationConfig, Pace
from pace_integrations.ray.cluster import import_ray

COLUMNS = (
    "library",
    "question",
    "answer",
    "document",
    "page",
    "page_label",
    "quote",
    "method",
    "score",
    "support",
    "read",
)


class Asker:
    """An actor with a model of its own.

    Args:
        load: Arguments of `Pace.load`.
        tokens: Most tokens of an answer.
    """

    def __init__(self, load: Mapping[str, Any], tokens: int) -> None:
        self._pace = Pace.load(**load)
        self._generation = GenerationConfig(max_new_tokens=tokens)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answer the questions of one library."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for place, questions in zip(batch["library"], batch["questions"], strict=True):
            library = self._pace.library(str(place))
            asked = [str(question) for question in questions]
            answers = library.ask_many(asked, generation=self._generation)
            for question, answer in zip(asked, answers, strict=True):
                row = make_row(str(place), question, answer)
                for name in COLUMNS:
                    columns[name].append(row[name])
        return columns


def make_row(library: str, question: str, answer: Answer) -> dict[str, Any]:
    """Return one row, with the best citation."""
    best = answer.citations[0] if answer.citations else None
    read = answer.selection.read if answer.selection else 0
    row = {"library": library, "question": question, "answer": answer.text, "read": read}
    fields = ("document", "page", "page_label", "quote", "method", "score")
    row |= {name: getattr(best, name, None) for name in fields}
    return {**row, "support": answer.support}


def group_questions(file: Path) -> list[dict[str, Any]]:
    """Return the questions of each library."""
    groups: dict[str, list[str]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            groups[row["library"]].append(row["question"])
    return [{"library": library, "questions": asked} for library, asked in groups.items()]


def main(argv: Sequence[str] | None = None) -> None:
    """Ask and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path, help="a CSV file: library, question")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder for Parquet")
    parser.add_argument("--actors", type=int, default=2, help="models that answer side by side")
    parser.add_argument("--model", help="name or path; default: that of Pace.load")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    given = parser.parse_args(argv)
    groups = group_questions(given.questions)
    import_ray()
    from ray import data

    rows = data.from_items(groups).map_batches(
        Asker,
        fn_constructor_args=({"model": given.model, "memory": None}, given.max_new_tokens),
        batch_size=1,
        concurrency=given.actors,
        num_cpus=0.5,
    )
    rows.write_parquet(str(given.output.absolute()))
    print(sum(len(group["questions"]) for group in groups), "answers in", given.output)


if __name__ == "__main__":
    main()
