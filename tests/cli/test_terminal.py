"""What documents, folders and file names hold reaches no terminal raw, and JSON stays JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pdfs import typeset
from typer.testing import CliRunner

from pace_integrations.answer import Citation
from pace_integrations.cli import app
from pace_integrations.cli.tables import format_table, make_citation_table
from pace_integrations.cli.texts import to_line, to_printable

HOSTILE = "x\x1b]8;;http:evil\x07\x1b[31mRED\u202e\u2066\x9b31m"


def pace(*arguments: object, **env: str) -> subprocess.CompletedProcess[bytes]:
    script = "from pace_integrations.entry import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        check=False,
    )


def shown(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.output + result.stderr


def test_a_citation_names_the_section_it_stands_in() -> None:
    found = Citation("a.md", "1", None, 1, 3, None, "900 pounds", (0, 10), "cited", 1.0)
    for section in (None, "a.md", "Fees > Rent\x1b[31m"):
        named = replace(found, section=section)
        header, line = format_table(make_citation_table([named]))
        assert header.split()[0] == "document"
        assert line.startswith(
            "[1]  a.md · Fees > Rent" if section and ">" in section else "[1]  a.md  "
        )
        assert "\x1b" not in line


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("The oak stands near the pond.")
    return folder


def is_plain(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t\r" for c in text)


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    for name in ("a.txt", f"{HOSTILE}.txt", f"{HOSTILE}.pdf"):
        (folder / name).write_text(f"The oak {HOSTILE} stands near the pond.")
    assert is_plain(shown("files", folder))
    assert is_plain(shown("ask", folder, "-q", f"Where is {HOSTILE}?", "--max-new-tokens", 2))
    assert is_plain(shown("ask", folder / "none\x1b[31m", "-q", "Where?"))


def test_a_file_name_makes_no_line_of_its_own(notes: Path) -> None:
    (notes / "b\npace: FAKE all is well.pdf").write_bytes(b"%PDF-1.4 x")
    for command in (("files",), ("ask", "-q", "Where?", "--max-new-tokens", 2)):
        lines = shown(*command, notes).splitlines()
        assert not [line for line in lines if line.startswith("pace: FAKE")]


def test_text_for_the_terminal_is_printable() -> None:
    assert to_printable(f"a\n\0\ud83d{HOSTILE}b") == "a\nx]8;;http:evil[31mRED31mb"
    assert to_line("a\nb\r\nc") == "a b c"


@pytest.mark.skipif(sys.platform != "linux", reason="such names are Linux's")
@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "utf-8:strict"}, {"LC_ALL": "C.UTF-8"}, {"PYTHONIOENCODING": "ascii"}],
    ids=str,
)
def test_json_is_utf_8_whatever_a_file_is_called(notes: Path, env: dict[str, str]) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (notes / name).write_text("Bread is baked here.")
    (notes / "größe.txt").write_text("Bread is baked here.")
    result = pace("files", notes, "--json", **env)
    assert result.returncode == 0, result.stderr
    files = json.loads(result.stdout.decode("utf-8"))["files"]
    assert {Path(file["path"]).name for file in files} == {"a.txt", name, "größe.txt"}
    assert pace("files", notes, **env).returncode == 0


def test_a_question_from_a_program_reads_as_it_was_meant(notes: Path) -> None:
    result = pace("ask", notes, "-q", "Where is the oak?", "--max-new-tokens", "4", "--no-store")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"Where is the oak?\n")


def test_no_document_is_overwritten_by_a_copy(tmp_path: Path) -> None:
    """Neither the one that is named nor one that a second copy would be called like."""
    texts = {
        "report-2.pdf": "The fire assembly point is the car park of the library.",
        "tenancy.pdf": "The tenancy begins on 1 April 2025.",
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(typeset(text))
    (tmp_path / "report-3.pdf").write_text("of another program")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    questions = ["-q", "Where is the fire assembly point?", "-q", "When does the tenancy begin?"]
    for target in ("report.pdf", "tenancy.pdf", "report-2.pdf"):
        shown("ask", tmp_path, *questions, "--highlight", tmp_path / target, "--no-store")
        assert {file: file.read_bytes() for file in before} == before


NOISE = """
import logging, sys, warnings
from pace_integrations.cli.quiet import silence_libraries
silence_libraries()
warnings.warn("a keyword will go", FutureWarning)
logging.getLogger("bitsandbytes").warning("inputs will be cast")
logging.getLogger("transformers.models").error("an error of theirs")
from tqdm.auto import tqdm
list(tqdm(range(3)))
import transformers, warnings
transformers.utils.logging.get_logger("transformers").warning("advice")
list(transformers.utils.logging.tqdm(range(3)))
print("done")
"""


def test_other_packages_say_nothing_in_the_shell() -> None:
    set_by_others = ("PYTHONWARNINGS", "TQDM_", "HF_HUB_", "TRANSFORMERS_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(set_by_others)}
    result = subprocess.run(
        [sys.executable, "-c", NOISE], capture_output=True, text=True, env=kept, check=False
    )
    assert (result.stdout, result.stderr) == ("done\n", "")
