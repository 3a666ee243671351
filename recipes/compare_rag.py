"""A library of a million tokens, beside what reads the chosen pages again with every question.

    python -m recipes.compare_rag --data DATA --dense MINILM [--sizes 10000 1000000]

DATA holds `nano/p0.xz` (JSON lines `{"text"}`) and `eval/squad_dev.jsonl`. The library: prose with
passages that people asked about (natural questions) and made-up facts (planted ones) among it. It
grows in measured steps; above `--read` tokens only the passages that questions choose are read. At
every size in `--sizes` the same questions are asked by

- `library`: passages that were read once and kept;
- `words + Transformers`: the passages that words find, read again in one prompt;
- `dense + LangChain`: a chain with `HuggingFacePipeline` over vectors of all passages (MINILM, a
  sentence transformer of mean pooling);
- `words + llama.cpp`: the same prompt with its prompt cache, where `llama-cpp-python` and the GGUF
  file of pace-small's base (`GGUF`) are there; other weights than ours: only its time counts.

Seconds are CPU seconds of one thread to the first token, medians; right holds an expected answer.
"""

from __future__ import annotations

import argparse
import json
import lzma
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pace_integrations import Corpus, Pace
from pace_integrations.library import Library, ReadingProfile
from recipes.bench.measure import status
from recipes.bench.peers import find_gguf
from recipes.bench_library import time_first_piece
from recipes.compare_selectors import DenseOrder
from recipes.rag_arms import (
    Arm,
    langchain_arm,
    library_arms,
    llama_cpp_arm,
    render_found,
    transformers_arm,
)
from recipes.train_nano import tasks
from recipes.train_nano.facts import make_fact
from recipes.train_nano.relations import TRAINING

STEPS = (2_000, 10_000, 50_000, 100_000, 200_000, 400_000, 700_000, 1_000_000)


@dataclass(frozen=True)
class Asked:
    """A question about a document of the library.

    Attributes:
        kind: ``natural`` or ``planted``.
        question: The question.
        answers: Each of them is right.
        title: Title of the document that answers it.
        text: Its text.
    """

    kind: str
    question: str
    answers: Sequence[str]
    title: str
    text: str

    def holds(self, answer: str) -> bool:
        """Say whether an answer is right."""
        return any(right.lower() in answer.lower() for right in self.answers)


def make_questions(data: Path, count: int) -> list[Asked]:
    """Return as many natural questions as asked for, and half as many planted ones."""
    made, titles = [], set()
    for row in tasks.read_rows(data / "eval" / "squad_dev.jsonl", 600):
        if row["answers"] and row["context"] not in titles and len(titles) < count:
            titles.add(row["context"])
            title = f"{row['title']} {len(titles)}"
            made.append(Asked("natural", row["question"], row["answers"], title, row["context"]))
    pool, maker = tasks.haystack(data / "eval")
    for i in range(count // 2):
        fact = make_fact(maker, TRAINING)
        around = maker.rng.choice(len(pool), 6)
        text = " ".join(
            [*(pool[j] for j in around[:3]), fact.statement, *(pool[j] for j in around[3:])]
        )
        made.append(Asked("planted", fact.question, [fact.answer], f"Notes {i}", text))
    return made


def read_prose(data: Path) -> Iterator[tuple[str, str]]:
    """Yield titles and texts of prose."""
    with lzma.open(data / "nano" / "p0.xz", "rt", encoding="utf-8") as lines:
        for i, line in enumerate(lines):
            yield f"Text {i}", json.loads(line)["text"]


def describe_prompts(library: Library, questions: Sequence[Asked], counts: Sequence[int]) -> str:
    """Return how long prompts of so many passages are; what they hold is read by then."""
    for asked in questions:
        time_first_piece(library, asked.question, max(counts))
    cells = []
    for passages in counts:
        prompts = [render_found(library, asked.question, passages) for asked in questions]
        tokens = statistics.median(map(library.pace.count_tokens, prompts))
        cells.append(f"{passages} passages are {tokens:.0f} tokens")
    return ", ".join(cells)


def time_arm(arm: Arm, questions: Sequence[Asked], passages: int) -> float:
    """Return the median of CPU seconds to the first token."""
    seconds = []
    for asked in questions:
        start = time.process_time()
        arm.first(asked.question, passages)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def grow(
    library: Library, documents: Iterator[tuple[str, str]], have: int, size: int, *, reads: bool
) -> tuple[int, float]:
    """Add prose until a library holds so many tokens; return the tokens added, and their rate."""
    count, batch, tokens = library.pace.count_tokens, {}, 0
    while have + tokens < size:
        title, text = next(documents)
        batch[title] = text
        tokens += round(count(text) * 1.3)  # passages overlap, and have headings
    start = time.process_time()
    read = library.add(Corpus.from_texts(batch), read=reads).read if batch else 0
    tokens = read if reads else tokens
    return tokens, tokens / (time.process_time() - start) if batch else 0.0


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pace-small")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dense", type=Path, help="folder of a sentence transformer")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--questions", type=int, default=60, help="natural ones of the last size")
    parser.add_argument("--timed", type=int, default=6, help="questions whose first token is timed")
    parser.add_argument("--passages", type=int, nargs="+", default=[5, 30])
    parser.add_argument("--read", type=int, default=2**40, help="most tokens read in advance")
    parser.add_argument("--states", choices=["full", "int8"], default="int8")
    parser.add_argument("--profile-layers", type=int, nargs="+", help="index layers of --model")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    with Pace.load(given.model, memory=None) as pace, tempfile.TemporaryDirectory() as base:
        options: dict[str, Any] = {"states": given.states, "attention": "pages"}
        if given.profile_layers:
            options["profile"] = ReadingProfile(index_layers=tuple(given.profile_layers))
        measure(pace, Library.open(Path(base) / "library", pace, **options), given)


def measure(pace: Pace, library: Library, given: argparse.Namespace) -> None:
    """Let a library grow, and ask it at every size."""
    loaded, prose, have = pace._engine.loaded, read_prose(given.data), 0
    asked = make_questions(given.data, given.questions)
    first, rest = asked[: given.timed], asked[given.timed :]  # natural ones come first
    have += library.add(Corpus.from_texts({q.title: q.text for q in first})).read
    for size in sorted({*(s for s in STEPS if s <= max(given.sizes)), *given.sizes}):
        reads = size <= given.read
        if size == max(given.sizes):
            have += library.add(Corpus.from_texts({q.title: q.text for q in rest}), read=reads).read
        added, rate = grow(library, prose, have, size, reads=reads)
        have += added
        store = library.stats().store
        kept = store.state_bytes + store.index_bytes if store else 0
        print(
            f"{have} tokens: {added} {'read' if reads else 'added'} at {rate:.0f} per second, "
            f"{kept / 2**20:.0f} MiB kept, {status('VmRSS'):.0f} MB of memory, "
            f"{status('VmHWM'):.0f} at most",
            flush=True,
        )
        if size not in given.sizes:
            continue
        print(f"  {describe_prompts(library, first, given.passages)}", flush=True)
        arms = library_arms(library)
        arms.append(transformers_arm(library, loaded.model, loaded.tokenizer))
        if given.dense:
            dense = DenseOrder(given.dense)
            arms.append(langchain_arm(library, loaded.model, loaded.tokenizer, dense))
        if find_gguf():
            arms.append(llama_cpp_arm(library))
        for arm in arms:
            arm.first(first[0].question, 1)  # what is done once, such as building an index
            times = [time_arm(arm, first, passages) for passages in given.passages]
            cells = [f"{p} passages {t:.3f} s" for p, t in zip(given.passages, times, strict=True)]
            if size == max(given.sizes) and arm.answer is not None:
                for kind in ("natural", "planted"):
                    own = [q for q in asked if q.kind == kind]
                    right = sum(q.holds(arm.answer(q.question, given.passages[0])) for q in own)
                    cells.append(f"{kind} {right} of {len(own)} right")
            print(f"  {arm.name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
