"""A library by size: reading, bytes, the first token, and what one changed page costs.

Pages are made up: each tells of one depot, and the questions ask about some of them. Beside the
library's first token stands that of reading the same passages again with every question, as word
search with a plain prompt does. Above `--read` tokens only the passages that the questions choose
are read in advance; the search goes through all of them. Times are CPU seconds of one thread, so
that other work on the machine does not count.

    python -m recipes.bench_library [--model FOLDER] [--tokens 10000 100000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.library.profile import find_profile

ANSWER = 24  # most tokens
PASSAGES = 5


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured at one size; seconds are medians of CPU time.

    Attributes:
        tokens: Tokens of all passages.
        pages: Pages.
        rate: Tokens read in a second of CPU time.
        state_bytes: Bytes of states per token.
        index_bytes: Bytes of the index per token.
        peak: Most memory of this process so far, in MiB.
        each: To the answer, the passages asked one by one.
        together: To the first token, the same passages in one prompt.
        reread: To the first token when the same passages are read again.
        whole: To the last token, the passages in one prompt.
        right: Questions answered rightly one by one, of all.
    """

    tokens: int
    pages: int
    rate: float
    state_bytes: float
    index_bytes: float
    peak: int
    each: float
    together: float
    reread: float
    whole: float
    right: float


def page_text(number: int) -> str:
    """Return a page about one depot; its code stands in the middle."""
    code = f"{(number * 7919) % 9000 + 1000}"
    days = " ".join(
        f"In week {i} depot {number} sent {(number + i) % 40 + 3} crates to hall {number * i % 17}."
        for i in range(1, 14)
    )
    return f"{days}\nThe code of depot {number} is {code}.\nIts gate is painted {color(number)}."


def color(number: int) -> str:
    """Return the color of a depot's gate."""
    return ("green", "blue", "red", "white", "yellow", "black", "gray", "brown")[number % 8]


def make_corpus(pages: int) -> Corpus:
    """Return documents of at most 100 pages each."""
    texts = {
        f"Depots {first} to {min(first + 100, pages) - 1}": "\f".join(
            page_text(i) for i in range(first, min(first + 100, pages))
        )
        for first in range(0, pages, 100)
    }
    return Corpus.from_texts(texts)


def ask(
    library: Library,
    question: str,
    strategy: Literal["each", "together"],
    tokens: int,
    passages: int = PASSAGES,
) -> tuple[float, str]:
    """Return the CPU seconds of an answer of at most some tokens, and its text."""
    config, start = GenerationConfig(max_new_tokens=tokens), time.process_time()
    answer = library.ask(question, strategy=strategy, passages=passages, generation=config)
    return time.process_time() - start, answer.text


def time_first_piece(library: Library, question: str, passages: int) -> tuple[float, str | None]:
    """Return CPU seconds to the first text of an answer, and that text, if it has any.

    The kept passages stand in one prompt. The answer is longer than that: what follows its end is
    not to be counted in.
    """
    config, start = GenerationConfig(max_new_tokens=ANSWER), time.process_time()
    with library.stream(
        question, strategy="together", passages=passages, budget=2**20, generation=config
    ) as stream:
        piece = next((piece for piece in stream if piece), None)
        return time.process_time() - start, piece


def wait_for_token(library: Library, question: str, passages: int) -> float:
    """Return CPU seconds to the first token, the kept passages in one prompt."""
    seconds, piece = time_first_piece(library, question, passages)
    assert piece, "the model wrote no text"
    return seconds


def reread(library: Library, question: str, passages: int) -> float:
    """Return CPU seconds to the first token when the chosen passages are read again."""
    start = time.process_time()
    chosen = library.find_pages(question, count=passages, selector="bm25").scored
    texts = [(f"{i}", scored.block.passage.text) for i, scored in enumerate(chosen)]
    session = library.pace.read(Corpus.from_texts(texts))
    session.ask(question, generation=GenerationConfig(max_new_tokens=1))
    return time.process_time() - start


def measure(
    pace: Pace,
    tokens: int,
    questions: int,
    repeats: int,
    most: int,
    folder: Path,
    passages: int = PASSAGES,
) -> Row:
    """Measure a library of about so many tokens, of which questions get so many passages."""
    library = open_library(pace, folder)
    per_page = pace.count_tokens(page_text(100)) * 1.5  # passages overlap
    corpus = make_corpus(max(8, round(tokens / per_page)))
    pages = sum(len(document.pages) for document in corpus.documents)
    start = time.process_time()
    read = library.add(corpus, read=tokens <= most).read
    seconds = time.process_time() - start
    asked = [int((i + 0.5) * pages / questions) for i in range(questions)]
    texts = {f"What is the code of depot {i}?": f"{(i * 7919) % 9000 + 1000}" for i in asked}
    each, together, whole, again, right = [], [], [], [], 0
    for question, code in texts.items():
        right += code in ask(library, question, "each", ANSWER)[1]  # reads what is not read yet
        for _ in range(repeats):
            each.append(ask(library, question, "each", ANSWER)[0])
            together.append(wait_for_token(library, question, passages))
            whole.append(ask(library, question, "together", ANSWER, passages)[0])
        again.append(reread(library, question, passages))
    stats = library.stats()
    assert stats.store is not None
    return Row(
        tokens=round(pages * per_page),
        pages=pages,
        rate=read / seconds,
        state_bytes=stats.store.state_bytes / read if read else 0.0,
        index_bytes=stats.store.index_bytes / read if read else 0.0,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        each=statistics.median(each),
        together=statistics.median(together),
        reread=statistics.median(again),
        whole=statistics.median(whole),
        right=right / len(texts),
    )


def open_library(pace: Pace, folder: Path) -> Library:
    """Open a library that reads page by page, whatever the model was trained for."""
    profile = find_profile(pace.engine.loaded) or ReadingProfile(index_layers=(1, 2))
    return Library.open(folder, pace, profile=profile)


def change_one_page(pace: Pace, pages: int, folder: Path) -> tuple[int, int, float]:
    """Return tokens read for all pages, tokens read after one of them changed, and seconds."""
    library = open_library(pace, folder)
    texts = [f"Depot {i} is painted {color(i)}." for i in range(pages)]
    first = library.add(Corpus.from_texts({"Depots": "\f".join(texts)})).read
    texts[pages // 2] = "This depot was torn down."
    start = time.process_time()
    second = library.replace(Corpus.from_texts({"Depots": "\f".join(texts)})).read
    return first, second, time.process_time() - start


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="name or folder; default: pace's own")
    parser.add_argument("--tokens", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--read", type=int, default=200_000, help="most tokens read in advance")
    parser.add_argument("--pages", type=int, default=1000, help="pages of which one changes")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--passages", type=int, default=PASSAGES, help="of one prompt")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    with Pace.load(given.model, memory=None) as pace, tempfile.TemporaryDirectory() as base:
        for tokens in given.tokens:
            folder = Path(base) / str(tokens)
            row = measure(
                pace, tokens, given.questions, given.repeats, given.read, folder, given.passages
            )
            print(json.dumps(asdict(row)), flush=True)
        if given.pages:
            first, second, seconds = change_one_page(pace, given.pages, Path(base) / "pages")
            print(
                f"{given.pages} pages: {first} tokens read; one changed: {second} tokens, "
                f"{seconds:.2f} s"
            )


if __name__ == "__main__":
    main()
