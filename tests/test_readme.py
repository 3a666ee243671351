"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.S)
SHELL = re.findall(r"```bash\n(.*?)```", README, re.S)
SHOWN = re.findall(r"```text\n(.*?)```", README, re.S)


def run(folder: Path, model: str, *command: str) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "PACE_MODEL": model},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_python_block_is_followed_by_its_output() -> None:
    assert len(PYTHON) == len(re.findall("```python", README)) >= 3


@pytest.mark.small_model
@pytest.mark.parametrize(("code", "shown"), PYTHON)
def test_a_python_block_prints_what_is_shown(
    code: str, shown: str, workplace: Path, small_model: str
) -> None:
    assert run(workplace, small_model, sys.executable, "-c", code) == shown


def list_first_questions() -> list[str]:
    """Return the arguments of the last `pace` in the first command."""
    words = shlex.split(SHELL[0])
    last = len(words) - words[::-1].index(".venv/bin/pace")
    return words[last:]


@pytest.mark.small_model
def test_the_first_command_prints_what_is_shown(workplace: Path, small_model: str) -> None:
    script = "from pace_integrations.entry import main; main()"
    printed = run(workplace, small_model, sys.executable, "-c", script, *list_first_questions())
    assert [line.rstrip() for line in printed.splitlines()] == SHOWN[0].splitlines()


def test_the_first_command_fetches_the_model_that_answers() -> None:
    assert ".venv/bin/pace models get small" in SHELL[0]
    assert "-c constraints/tested.txt" in SHELL[0]


def test_the_second_command_is_the_tests() -> None:
    assert "pytest" in SHELL[1]
