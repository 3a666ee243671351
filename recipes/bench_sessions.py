"""Opening a saved session against reading again, up to the first token of an answer.

Both sides run in this process, with the embedded model on the CPU, on the same corpus and
question. Files that were just written lie in the system's cache, as those of a session in use do.

    python -m recipes.bench_sessions [--tokens 2000 8000 32000] [--repeats 7]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pace_integrations import Corpus, GenerationConfig, Pace, ReadConfig, Session

QUESTION = "When does the gate of house 7 open?"
ONE = GenerationConfig(max_new_tokens=1)
ROOM = ReadConfig(reserve=64)


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds up to the first token of an answer, medians.

    Attributes:
        tokens: Tokens of the corpus.
        bytes: Size of the saved session.
        reread: Reading the corpus and asking.
        save: Saving the session.
        full: Opening with every file hashed, and asking.
        fast: Opening with sizes compared, and asking.
        ask: Asking alone.
    """

    tokens: int
    bytes: int
    reread: float
    save: float
    full: float
    fast: float
    ask: float


def corpus_of(pace: Pace, tokens: int) -> Corpus:
    """Return documents of one page each that take about `tokens` tokens together."""
    texts: dict[str, str] = {}
    held = 0
    while held < tokens:
        number = len(texts)
        name = f"house {number}"
        texts[name] = " ".join(
            f"The gate of {name} opens at {(number + i) % 24}:{(7 * i) % 60:02d} on day {i}. "
            f"Room {i} holds {number * i} letters, and the key hangs by the door."
            for i in range(8)
        )
        held += pace.count_tokens(texts[name]) + 12
    return Corpus.from_texts(texts)


def measure(pace: Pace, tokens: int, folder: Path, repeats: int) -> Row:
    """Time both sides at one length."""
    corpus, path = corpus_of(pace, tokens), folder / f"{tokens}.pace"

    def opened(verify: Literal["full", "fast"]) -> Callable[[], object]:
        return lambda: first_token(pace.open(path, verify=verify))

    session = pace.read(corpus, config=ROOM)
    save = seconds(lambda: session.save(path), 3)
    return Row(
        tokens=session.tokens,
        bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        reread=seconds(lambda: first_token(pace.read(corpus, config=ROOM)), min(repeats, 3)),
        save=save,
        full=seconds(opened("full"), repeats),
        fast=seconds(opened("fast"), repeats),
        ask=seconds(lambda: first_token(session), repeats),
    )


def first_token(session: Session) -> str:
    """Ask, and wait for one token."""
    return session.ask(QUESTION, generation=ONE).text


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return median time of a piece of work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[2000, 8000, 32000])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with Pace.load() as pace, tempfile.TemporaryDirectory() as folder:
        first_token(pace.read(corpus_of(pace, 300)))  # warm
        rows = [measure(pace, n, Path(folder), options.repeats) for n in options.tokens]
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return rows
    print("tokens     MB  reread s   save s  open full ms  ratio  open fast ms  ratio  ask ms")
    for r in rows:
        print(
            f"{r.tokens:6d} {r.bytes / 1e6:6.1f} {r.reread:9.3f} {r.save:8.3f} "
            f"{1e3 * r.full:13.1f} {r.reread / r.full:6.1f} {1e3 * r.fast:13.1f} "
            f"{r.reread / r.fast:6.1f} {1e3 * r.ask:7.1f}"
        )
    return rows


if __name__ == "__main__":
    main()
