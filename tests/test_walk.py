"""From the README to the token loop in twelve files, each named by one that was opened before."""

from __future__ import annotations

import ast
import re
import sys
import threading
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from types import FrameType

import pytest

import pace_integrations
from pace_integrations import Corpus, GenerationConfig, Pace

PACKAGE = Path(pace_integrations.__file__).parent
ROOT = PACKAGE.parent
END = "model/_transformers.py"  # the loop leaves the package there
TOLD = re.search(
    r"open (\d+) files in this order: (.+?)\.\s", (ROOT / "CONTRIBUTING.md").read_text("utf-8")
)
assert TOLD
WALK = re.findall(r"`([\w/]+\.\w+)`", TOLD[2])


def list_imports(path: str) -> set[str]:
    """Modules of the package that a file imports something of, as paths within it."""
    tree = ast.parse((PACKAGE / path).read_text("utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pace_integrations"):
            inside = (node.module or "").split(".")[1:]
            names = {"/".join([*inside, alias.name]) for alias in node.names}
            found |= {f"{name}.py" for name in (*names, "/".join(inside))}
    return found


def test_the_walk_takes_at_most_twelve_files() -> None:
    assert TOLD
    assert len(WALK) == len(set(WALK)) == int(TOLD[1])
    assert len(WALK) <= 12
    assert WALK[0] == "README.md"


def test_the_readme_names_the_first_file_of_the_walk() -> None:
    (block, *_) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert "from pace_integrations import Corpus, Pace" in block
    assert WALK[1] == f"{Pace.__module__.removeprefix('pace_integrations.').replace('.', '/')}.py"


@pytest.mark.parametrize("path", WALK[2:])
def test_a_file_of_the_walk_is_named_by_one_before_it(path: str) -> None:
    opened = WALK[1 : WALK.index(path)]
    assert any(path in list_imports(before) for before in opened), f"{path} after {opened}"


def find_file(frame: FrameType) -> str | None:
    """File of the package that a frame runs in, if it is one of it."""
    path = Path(frame.f_code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None


def list_files(frame: FrameType | None) -> Iterator[str]:
    """Files of the package on a stack, the innermost first."""
    while frame is not None:
        if path := find_file(frame):
            yield path
        frame = frame.f_back


def test_a_question_goes_the_way_that_is_told(pace: Pace, corpus: Corpus) -> None:
    """Whenever tokens enter the model, both stacks are looked at: its thread's and the asker's."""
    asking, waiting, entered = threading.get_ident(), set[str](), set[str | None]()

    def look(*_: object) -> None:
        frames = sys._current_frames()
        for thread in (threading.get_ident(), asking):
            waiting.update(dropwhile(lambda path: path == END, list_files(frames[thread])))

    hook = pace.engine.loaded.model.get_input_embeddings().register_forward_pre_hook(look)
    sys.setprofile(lambda frame, event, _: entered.add(find_file(frame)))
    try:
        session = pace.read(corpus)
        answer = session.ask("Where is the oak?", generation=GenerationConfig(max_new_tokens=8))
    finally:
        sys.setprofile(None)
        hook.remove()
    assert answer.usage.output_tokens > 1
    assert waiting <= set(WALK), f"not on the walk: {sorted(waiting - set(WALK))}"
    # None is left out that the question does not come through.
    assert set(WALK[1:]) <= waiting | entered, f"not met: {set(WALK[1:]) - waiting - entered}"
