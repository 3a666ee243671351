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


def run(*command: str) -> str:
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_python_block_is_followed_by_its_output() -> None:
    assert len(PYTHON) == len(re.findall("```python", README)) >= 3


@pytest.mark.parametrize(("code", "shown"), PYTHON)
def test_a_python_block_prints_what_is_shown(code: str, shown: str) -> None:
    assert run(sys.executable, "-c", code) == shown


def test_the_first_command_prints_what_is_shown() -> None:
    words = shlex.split(SHELL[0])
    arguments = words[words.index(".venv/bin/pace") + 1 :]
    script = "from pace_integrations.entry import main; main()"
    printed = run(sys.executable, "-c", script, *arguments)
    assert [line.rstrip() for line in printed.splitlines()] == SHOWN[0].splitlines()


def test_the_second_command_is_the_tests() -> None:
    assert "pytest" in SHELL[1]
