"""Kills processes while they save, and damages saved sessions: what is left is whole or refused.

    python -m recipes.crash_sessions [--kills 100] [--damages 1000] [--model PATH]

Every kill is a SIGKILL at a random moment of a process that saves one session over and over;
afterwards the session must open and answer as before. Every damage changes one byte of one file of
a saved session, or cuts the file short, at random; afterwards opening must refuse it with the
library's own error, or the session must answer as before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, PaceError, Session

QUESTIONS = ("Where is the oak?", "When does the gate open?")
SHORT = GenerationConfig(max_new_tokens=8)


def answers(session: Session) -> list[str]:
    """Return what is compared."""
    return [session.ask(question, generation=SHORT).text for question in QUESTIONS]


def kills(pace: Pace, path: Path, count: int, seed: int = 0) -> Counter[str]:
    """Kill processes that save to `path`; the session there is opened after each.

    Returns:
        Kills after which the session was ``whole`` or ``broken``; among them ``cut short`` are
        those that left an unfinished save behind. ``failed`` processes ended by themselves.
    """
    session, dice, counts = pace.open(path), random.Random(seed), Counter[str]()
    expected, start = answers(session), time.perf_counter()
    session.save(path)
    longest = 3 * (time.perf_counter() - start)
    for _ in range(count):
        session.save(path)  # clears away what the one before left
        saver = _forked_saver(session, path)
        until = time.perf_counter() + 10.0  # a busy machine may take long to start the process
        while not _unfinished(path) and time.perf_counter() < until:
            time.sleep(0.0)
        time.sleep(dice.uniform(0.0, longest))
        os.kill(saver, signal.SIGKILL)
        _, status = os.waitpid(saver, 0)
        counts["failed"] += os.WIFEXITED(status)
        counts["cut short"] += _unfinished(path)
        counts["whole" if _answers_as(pace, path, expected) else "broken"] += 1
    session.save(path)
    return counts


def _unfinished(path: Path) -> bool:
    return len(list(path.glob("data-*"))) > 1


def _forked_saver(session: Session, path: Path) -> int:
    """Return a process that saves until it is killed. It runs no model, so one thread is enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        try:
            while True:
                session.save(path)
        finally:
            os._exit(1)
    return process


def _answers_as(pace: Pace, path: Path, expected: list[str]) -> bool:
    try:
        return answers(pace.open(path)) == expected
    except PaceError:
        return False


def damages(pace: Pace, path: Path, count: int, seed: int = 0) -> Counter[str]:
    """Damage copies of the session at `path` and open them.

    Returns:
        Copies that were ``refused``, ``harmless`` (they answer as before), ``wrong`` (they answer
        otherwise) or ``crashed`` (an error that is not the library's).
    """
    dice, counts, expected = random.Random(seed), Counter[str](), answers(pace.open(path))
    copy = path.with_name(f"{path.stem}-damaged.pace")
    for _ in range(count):
        shutil.copytree(path, copy)
        damage(copy, dice)
        try:
            session = pace.open(copy)
            counts["harmless" if answers(session) == expected else "wrong"] += 1
        except PaceError:
            counts["refused"] += 1
        except Exception as error:  # counted: this is what must not happen
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            counts["crashed"] += 1
        shutil.rmtree(copy)
    return counts


def damage(path: Path, dice: random.Random) -> None:
    """Change a byte of one file of a saved session, or cut the file short."""
    file = dice.choice([path / "manifest.json", *sorted(path.glob("data-*/*"))])
    size = file.stat().st_size
    with file.open("r+b") as stream:
        if dice.random() < 0.5:
            stream.truncate(dice.randrange(size))
            return
        place = dice.randrange(size)
        stream.seek(place)
        before = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([(before + dice.randrange(1, 256)) % 256]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--model", help="a model's name or path; default: the embedded one")
    options = parser.parse_args(arguments)
    texts = {name: f"The {name} stands near the pond. " * 20 for name in ("oak", "elm", "ash")}
    memory = MemoryConfig()  # adds a file to every session
    with Pace.load(options.model, memory=memory) as pace, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.pace"
        pace.read(Corpus.from_texts(texts)).save(path)
        counts = {
            "kills": kills(pace, path, options.kills),
            "damages": damages(pace, path, options.damages),
        }
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
