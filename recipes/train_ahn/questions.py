"""Ask questions of texts that are longer than what stays lossless, each way of reading on the same.

python -m recipes.train_ahn.questions --model pace-small --ahn AHN --data EVAL --out FILE.jsonl

EVAL holds ``squad_dev.jsonl`` and ``2wikimultihopqa_dev_200.jsonl``. Run it again to go on after a
stop: FILE has a line for every text and way, and what stands there is not asked again. Selected
pages are as many tokens as the first tokens and the window together. An AHN into which nothing is
written adds nothing: that is sinks and window alone.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from pace_integrations import Corpus, GenerationConfig, Pace, ReadConfig
from pace_integrations.evaluation.arm_runner import strip_citations
from pace_integrations.evaluation.metrics.registry import score_prediction
from pace_integrations.evaluation.selection import select_bm25
from pace_integrations.evaluation.statistics import bootstrap_interval
from pace_integrations.evaluation.tasks import Row
from pace_integrations.evaluation.tasks.haystack import build_haystack, filler_sentences
from pace_integrations.evaluation.tasks.rows import Count, read_jsonl
from pace_integrations.evaluation.tasks.words import ADJECTIVES, NOUNS, random_number
from pace_integrations.library.profile import find_profile
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.session import Session
from recipes.train_ahn.student import set_foreign
from recipes.train_nano import tasks
from recipes.train_nano.facts import make_fact

SHUT, OTHER = "AHN, nothing written", "AHN, another text's state"
WAYS = ("full attention", "YaRN", SHUT, OTHER, "AHN", "BM25", "heads")
HEADING = 40  # most tokens of one
DEPTHS = {"inside": 0.95, "outside": 0.4}  # of what is hidden; the window is the last quarter


def make_squad(data: Path, count: int, tokens: int, tell: Count) -> Iterator[Row]:
    """Yield questions of SQuAD, each among ten passages in random order."""
    rows = [row for row in read_jsonl(data / "squad_dev.jsonl") if row["answers"]]
    pool = sorted({(row["title"], row["context"]) for row in rows})
    for i, row in enumerate(random.Random(0).sample(rows, count)):
        rng, own = random.Random(i), (row["title"], row["context"])
        documents = [*rng.sample([page for page in pool if page != own], 9), own]
        rng.shuffle(documents)
        yield _make_row("SQuAD-10", documents, row, (documents.index(own),))


def make_two_wiki(data: Path, count: int, tokens: int, tell: Count) -> Iterator[Row]:
    """Yield questions of 2WikiMultihopQA with their ten passages."""
    for row in read_jsonl(data / "2wikimultihopqa_dev_200.jsonl")[:count]:
        gold = tuple(i for i, page in enumerate(row["docs"]) if page["supporting"])
        yield _make_row("2Wiki", [(p["title"], p["text"]) for p in row["docs"]], row, gold)


def make_needles(data: Path, count: int, tokens: int, tell: Count) -> Iterator[Row]:
    """Yield codes hidden in generated prose, inside and outside the window in turn."""
    for i in range(count):
        rng = random.Random(i)
        thing, code = f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}", random_number(rng, 5)
        told = f"The access code of the {thing} is {code}."
        asked = {"question": f"What is the access code of the {thing}?", "answers": [code]}
        yield _hide("needles", i, filler_sentences("prose", rng), told, asked, tokens, tell)


def make_planted(data: Path, count: int, tokens: int, tell: Count) -> Iterator[Row]:
    """Yield facts planted in passages of SQuAD, inside and outside the window in turn."""
    pool, maker = tasks.haystack(data)
    for i in range(count):
        start, fact = random.Random(i).randrange(len(pool)), make_fact(maker)
        asked = {"question": fact.question, "answers": [fact.answer]}
        filler = iter([*pool[start:], *pool[:start]])
        yield _hide("planted", i, filler, fact.statement, asked, tokens, tell)


def _hide(
    task: str,
    i: int,
    filler: Iterator[str],
    told: str,
    asked: Mapping[str, Any],
    tokens: int,
    tell: Count,
) -> Row:
    place = list(DEPTHS)[i % 2]
    hay = build_haystack(filler, [(DEPTHS[place], told)], tokens, tell)
    row = _make_row(f"{task}, {place}", hay.documents, asked, hay.gold)
    return replace(row, metric="contains", length=tokens)


def _make_row(
    task: str, documents: Sequence[tuple[str, str]], row: Mapping[str, Any], gold: tuple[int, ...]
) -> Row:
    # Numbered titles: a name stands for one document of a corpus.
    named = tuple((f"{i}. {title}", text) for i, (title, text) in enumerate(documents, 1))
    return Row(task, named, row["question"], tuple(row["answers"]), metric="squad_f1", gold=gold)


TASKS = {
    "squad": make_squad,
    "2wiki": make_two_wiki,
    "needles": make_needles,
    "planted": make_planted,
}


class Reader:
    """A model that answers a question in each way.

    Args:
        given: The command line.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given

        def load(**options: Any) -> Pace:  # noqa: ANN401 - those of `Pace.load`
            return Pace.load(given.model, memory=None, dtype=given.dtype, **options)

        self.full, self._load = load(), load
        profile = find_profile(self.full.engine.loaded)
        self._keyed = profile is not None and bool(profile.index_layers)
        self._ahn = load(overflow="ahn", ahn=given.ahn, context=given.lossless)
        self._other = load(overflow="ahn", ahn=given.ahn, context=given.lossless)
        self._stretched: Pace | None = None
        self._left: dict[int, Tensor] | None = None  # the states of the latest text

    def list_ways(self, row: Row) -> dict[str, Callable[[Row], Session]]:
        """Return how a text is read in each way that it allows."""
        # Every document has a heading of its own in the prompt.
        most = self.full.count_tokens(row.context) + HEADING * (len(row.documents) + 2)
        whole = most < self.full.context_window
        first = {"full attention": self._read_full} if whole else {"YaRN": self._read_stretched}
        by_heads: Callable[[Row], Session]
        by_heads = lambda row: self._read_some(row, self._select_by_heads)  # noqa: E731
        return {
            **first,
            SHUT: lambda row: self._read_foreign(row, empty=True),
            OTHER: self._read_foreign,  # before the states are this text's own
            "AHN": self._read_ahn,
            "BM25": lambda row: self._read_some(row, select_bm25),
            **({"heads": by_heads} if self._keyed else {}),
        }

    def ask(self, read: Callable[[Row], Session], row: Row) -> dict[str, Any]:
        """Read a text and return what is said to its question, with its score."""
        session = read(row)
        said = session.ask(
            row.question, generation=GenerationConfig(max_new_tokens=self.given.answer)
        ).text
        score = score_prediction(row.metric, strip_citations(said), row.answers, row.extra)
        return {"said": said, "score": score, "tokens": session.tokens}

    def remember(self, row: Row) -> None:
        """Read a text for the states that it leaves, where no other one left any."""
        if self._left is None:
            self._read_ahn(row)

    def _read_full(self, row: Row) -> Session:
        return _read(self.full, row)

    def _read_stretched(self, row: Row) -> Session:
        self._stretched = self._stretched or self._load(overflow="yarn")
        return _read(self._stretched, row)

    def _read_ahn(self, row: Row) -> Session:
        session = _read(self._ahn, row)
        layers = session._state.context.cache.layers
        held = {i: layer.list_tensors().get("state") for i, layer in enumerate(layers)}
        self._left = {i: state for i, state in held.items() if state is not None} or self._left
        return session

    def _read_foreign(self, row: Row, *, empty: bool = False) -> Session:
        if self._left is None:
            raise SystemExit("no text is longer than --lossless: nothing leaves the window")
        states = {i: state * (not empty) for i, state in self._left.items()}
        set_foreign(_find_patch(self._other), states)
        return _read(self._other, row)

    def _read_some(self, row: Row, select: Callable[[Row, int, Count], Sequence[int]]) -> Session:
        kept = select(row, self.given.lossless, self.full.count_tokens)
        return _read(self.full, replace(row, documents=tuple(row.documents[i] for i in kept)))

    def _select_by_heads(self, row: Row, budget: int, count: Count) -> Sequence[int]:
        """Select the documents that the model's own keys find, in order."""
        names = [title for title, _ in row.documents]
        with tempfile.TemporaryDirectory() as folder:
            library = self.full.library(folder, passage=None, attention="pages")
            library.add(Corpus.from_texts(row.documents))
            found = library.find_pages(row.question, count=len(names), selector="heads")
        kept: list[int] = []
        for scored in found.scored:
            at = names.index(scored.block.document.title)
            budget -= count("\n".join(row.documents[at]))
            if kept and budget < 0:
                break
            kept.append(at)
        return sorted(kept)


def _find_patch(pace: Pace) -> HippocampusPatch:
    patch = pace.engine.window
    assert isinstance(patch, HippocampusPatch)
    return patch


def _read(pace: Pace, row: Row) -> Session:
    return pace.read(Corpus.from_texts(row.documents), config=ReadConfig(reserve=1, checkpoints=0))


def summarize(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of tasks and ways: mean scores, and their differences from nothing written."""
    yield "| task | n | way | tokens | score | less nothing written |"
    yield "|---|---|---|---|---|---|"
    for task in dict.fromkeys(line["task"] for line in lines):
        own = [line for line in lines if line["task"] == task]
        scores = {(line["id"], line["way"]): line["score"] for line in own}
        for way in dict.fromkeys(line["way"] for line in own):
            ids = [
                line["id"] for line in own if line["way"] == way and (line["id"], SHUT) in scores
            ]
            score = bootstrap_interval([scores[i, way] for i in ids])
            less = bootstrap_interval([scores[i, way] - scores[i, SHUT] for i in ids])
            read = mean(line["tokens"] for line in own if line["way"] == way)
            cells = (f"{x.mean:.2f} ({x.low:.2f} to {x.high:.2f})" for x in (score, less))
            yield f"| {task} | {len(ids)} | {way} | {read:,.0f} | {' | '.join(cells)} |"


def read_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name or folder, as for Pace.load")
    parser.add_argument("--ahn", required=True, help="folder of the trained AHN")
    parser.add_argument("--data", type=Path, required=True, help="folder of evaluation rows")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, gone on from")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--rows", type=int, default=20, help="texts of a task")
    parser.add_argument("--tokens", type=int, default=4096, help="of needles and planted facts")
    parser.add_argument("--lossless", type=int, default=1024, help="first tokens and window")
    parser.add_argument("--answer", type=int, default=32, help="most tokens of an answer")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask what was not asked yet, and print the table."""
    given = read_arguments(arguments)
    torch.set_num_threads(given.threads)
    reader = Reader(given)
    lines = read_jsonl(given.out) if given.out.exists() else []
    done = {(line["id"], line["way"]) for line in lines}
    for name in given.tasks:
        made = TASKS[name](given.data, given.rows, given.tokens, reader.full.count_tokens)
        rows = list(islice(made, given.rows))
        for i, row in enumerate(rows):
            ways = reader.list_ways(row)
            todo = [way for way in ways if way in given.ways and (row.id, way) not in done]
            if {SHUT, OTHER}.intersection(todo):
                reader.remember(rows[i - 1])
            for way in todo:
                told = reader.ask(ways[way], row)
                lines.append({"task": row.task, "id": row.id, "way": way, **told})
                with given.out.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
    print("\n".join(summarize(lines)))


if __name__ == "__main__":
    main()
