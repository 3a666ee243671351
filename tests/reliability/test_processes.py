"""The state of one process in another: forks, pickles, exits."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import time
import warnings

import pytest

from pace_integrations import (
    Constraint,
    Corpus,
    ExpertConfig,
    GenerationConfig,
    MemoryConfig,
    Pace,
    ReadConfig,
    errors,
)
from pace_integrations.documents import FileReport, NothingReadError, Report
from pace_integrations.errors import ContextOverflowError, MissingExtraError, PaceError

SHORT = GenerationConfig(max_new_tokens=4)
CORPUS = Corpus.from_texts({"oak": "The oak stands near the pond. " * 4})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
def test_a_forked_child_is_refused_and_never_waits(pace: Pace) -> None:
    session = pace.read(CORPUS)
    session.ask("Where?", generation=SHORT)
    writing = session.stream("Where?", generation=GenerationConfig(max_new_tokens=64))
    next(writing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            for work in (
                lambda: session.ask("Where?"),
                lambda: session.stream("Where?"),
                lambda: pace.read(CORPUS),
                lambda: session.fork().ask("Where?"),
                lambda: session.ask_many(["Where?"]),
                lambda: list(writing),
                lambda: writing.answer,
            ):
                with pytest.raises(PaceError, match="fork"):
                    work()
            pace._engine.close()
            status = 0
        finally:
            os._exit(status)
    until = time.monotonic() + 30
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.02)
    if not ended:
        os.kill(child, 9)
    assert (bool(ended), status) == (True, 0)
    assert writing.answer.text  # the parent goes on
    assert session.ask("Where?", generation=SHORT)


MADE = [
    ContextOverflowError("too long", needed=5, limit=4),
    MissingExtraError("OCR", "ocr"),
    NothingReadError(Report((FileReport("a.txt", "empty", 0, 0, 0.0),))),
]
OTHERS = {
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, PaceError) and kind not in {type(error) for error in MADE}
}


@pytest.mark.parametrize(
    "error",
    [*MADE, *(kind("what, where") for kind in sorted(OTHERS, key=str))],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_the_same_in_another_process(error: PaceError) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))
        assert (type(twin), str(twin), twin.args) == (type(error), str(error), error.args)
        assert vars(twin) == vars(error)


def test_values_are_the_same_in_another_process(pace: Pace) -> None:
    answer = pace.read(CORPUS).ask("Where?", generation=SHORT)
    values = [
        CORPUS,
        answer,
        SHORT,
        MemoryConfig(layers=(0,)),
        ReadConfig(),
        ExpertConfig(),
        Constraint.choice("yes", "no"),
    ]
    for value in values:
        assert pickle.loads(pickle.dumps(value)) == value


def test_what_holds_a_model_says_that_it_cannot_be_sent(pace: Pace) -> None:
    session = pace.read(CORPUS)
    with session.stream("Where?", generation=SHORT) as stream:
        things = ((pace, "load"), (session, "save"), (session.fork(), "save"), (stream, "answer"))
        for thing, remedy in things:
            for send in (pickle.dumps, copy.deepcopy):
                with pytest.raises(PaceError, match=remedy):
                    send(thing)


EXIT = """
from pace_integrations import Corpus, Pace
session = Pace.load({model!r}).read(Corpus.from_texts({{"oak": "The oak stands near the pond."}}))
stream = session.stream("Where is the oak?")
next(stream)
print("streaming", flush=True)
"""


def test_a_process_ends_with_an_open_stream(tiny_path: object) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXIT.format(model=str(tiny_path))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "streaming\n"), ended.stderr
    assert "Traceback" not in ended.stderr
