"""A folder of documents may hold files named like Python's modules: none of them ever runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pdfs import typeset

import pace_integrations

PACKAGE = Path(pace_integrations.__file__).parents[1]
READ = (
    "import os, sys; from pace_integrations.documents import Corpus; "
    "sys.path[:0] = ['', os.getcwd()]; "
    "print(Corpus.from_paths('letter.pdf').report.files[0].status)"
)


@pytest.mark.parametrize("module", ["json", "types", "enum", "signal", "pypdf", "pypdfium2"])
def test_no_module_of_the_working_directory_runs(tmp_path: Path, module: str) -> None:
    (tmp_path / "letter.pdf").write_bytes(typeset("The tenancy begins on 1 April 2025."))
    (tmp_path / f"{module}.py").write_text("open('ran', 'w')\nraise SystemExit\n")
    found = subprocess.run(
        [sys.executable, "-P", "-c", READ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.strip() == "ok", found.stderr
    assert not (tmp_path / "ran").exists()
