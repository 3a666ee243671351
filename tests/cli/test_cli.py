"""The command line: answers on standard output, one line and code 2 for bad input."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pdfs import encrypted, typeset
from terminals import run_on_terminal
from typer.testing import CliRunner, Result

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, __version__, entry
from pace_integrations.cli import app
from pace_integrations.cli.texts import to_printable

PAGES = ["The gate opens at 7:30. The oak stands near the pond.", "Bread is baked on Mondays."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    (folder / "house.pdf").write_bytes(typeset(*PAGES))
    (folder / "locked.pdf").write_bytes(encrypted(typeset(*PAGES), "secret"))
    return folder


def run(*arguments: object, lines: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=lines)


def test_one_question_as_json_is_the_session_answer(folder: Path, tiny_path: Path) -> None:
    options = ["--model", tiny_path, "--max-new-tokens", 12, "--json", "--memory"]
    result = run("ask", folder, "-q", "When does the gate open?", *options)
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    with Pace.load(tiny_path, memory=MemoryConfig()) as pace:
        session = pace.read(Corpus.from_paths([folder]))
        answer = session.ask(
            "When does the gate open?", generation=GenerationConfig(max_new_tokens=12)
        )
    assert shown["text"] == answer.text
    assert shown["question"] == "When does the gate open?"
    assert shown["usage"]["cached_tokens"] == session.tokens
    assert shown["memory"] is not None
    assert {"citations", "timings", "finish_reason"} <= shown.keys()
    statuses = {Path(f["path"]).name: f["status"] for f in shown["report"]["files"]}
    assert statuses == {"house.pdf": "ok", "locked.pdf": "encrypted"}
    assert "locked.pdf: encrypted" in result.stderr


def test_several_questions_are_answered_in_order(folder: Path, tiny_path: Path) -> None:
    options = ["--model", tiny_path, "--max-new-tokens", 4, "--json"]
    result = run("ask", folder, "-q", "When?", "-q", "Where?", *options)
    answers = json.loads(result.stdout)["answers"]
    assert [answer["question"] for answer in answers] == ["When?", "Where?"]
    assert [answer["memory"] for answer in answers] == [None, None]


def test_text_output_shows_question_and_counts(folder: Path, tiny_path: Path) -> None:
    arguments = ("ask", folder, "-q", "When?", "--model", tiny_path, "--max-new-tokens", 4)
    result = run(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("When?\n")
    assert "tokens read before" not in result.stderr
    # Counts are for people who watch.
    assert "tokens read before" in run_on_terminal(*arguments, only=("stderr",))[1]


def test_chat_answers_each_line_until_quit(folder: Path, tiny_path: Path) -> None:
    options = ["--model", tiny_path, "--max-new-tokens", 4, "--json"]
    result = run("chat", folder, *options, lines="When?\n\nWhere?\n/quit\nNever?\n")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["question"] for answer in answers] == ["When?", "Where?"]
    assert result.exit_code == 0


def test_chat_sees_earlier_turns_until_it_is_reset(folder: Path, tiny_path: Path) -> None:
    options = ["--model", tiny_path, "--max-new-tokens", 4, "--json"]
    result = run("chat", folder, *options, lines="When?\nWhen?\n/reset\nWhen?\n")
    tokens = [json.loads(line)["usage"]["input_tokens"] for line in result.stdout.splitlines()]
    assert tokens[0] == tokens[2] < tokens[1]


def test_chat_goes_on_after_a_refused_question(folder: Path, tiny_path: Path) -> None:
    options = ["--model", tiny_path, "--max-new-tokens", 4, "--json"]
    result = run("chat", folder, *options, lines=f"{'long ' * 2000}\nWhere?\n")
    first, second = [json.loads(line) for line in result.stdout.splitlines()]
    assert first["error"]["type"] == "ContextOverflowError"
    assert second["question"] == "Where?"


CASES: dict[str, tuple[list[str], str]] = {
    "unknown path": (["{tmp}/nowhere"], "nowhere"),
    "empty folder": (["{tmp}/empty"], "empty"),
    "encrypted only": (["{tmp}/locked"], "encrypted"),
    "unknown model": (["{tmp}/house.pdf", "--model", "no/such-model"], "no/such-model"),
    "empty question": (["{tmp}/house.pdf", "-q", " "], "-q"),
    "bad option": (["{tmp}/house.pdf", "--temperature", "-1"], "temperature"),
    "bad chunk": (["{tmp}/house.pdf", "--chunk", "0"], "chunk"),
    "bad dtype": (["{tmp}/house.pdf", "--model", "{tiny}", "--dtype", "int8"], "dtype"),
}


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A folder with one of each kind of trouble."""
    for name in ("empty", "locked"):
        (tmp_path / name).mkdir()
    (tmp_path / "house.pdf").write_bytes(typeset(*PAGES))
    (tmp_path / "book.txt").write_text("word " * 3000)
    (tmp_path / "locked" / "locked.pdf").write_bytes(encrypted(typeset(*PAGES), "secret"))
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_code_2(case: str, papers: Path, tiny_path: Path) -> None:
    words, named = CASES[case]
    arguments = [word.format(tmp=papers, tiny=tiny_path) for word in words]
    plain = run("ask", "-q", "When?", *arguments)
    assert (plain.exit_code, plain.stdout) == (2, "")
    (line,) = [line for line in plain.stderr.splitlines() if line.startswith("pace: ")]
    assert named in line
    assert "Traceback" not in plain.stderr
    as_json = run("ask", "-q", "When?", *arguments, "--json")
    error = json.loads(as_json.stdout)["error"]
    assert as_json.exit_code == 2
    assert f"pace: {error['message']}" == line
    assert error["type"].endswith("Error")


def test_an_unknown_option_value_is_a_usage_error(folder: Path) -> None:
    result = run("ask", folder, "-q", "When?", "--quantization", "int3")
    assert result.exit_code == 2
    assert "int3" in result.stderr


def test_version() -> None:
    assert run("--version").stdout == f"pace-integrations {__version__}\n"


def test_without_the_extra_the_script_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 2
    assert "pip install 'pace-integrations[cli]'" in capsys.readouterr().err


def test_a_document_cannot_steer_the_terminal() -> None:
    assert to_printable("a\x1b[31mred\x07\tb\n") == "a[31mred\tb\n"


def test_the_installed_script_runs_in_its_own_process(folder: Path, tiny_path: Path) -> None:
    arguments = ["ask", folder, "-q", "When?", "--model", tiny_path, "--max-new-tokens", "4"]
    result = subprocess.run(
        [sys.executable, "-c", "from pace_integrations.entry import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("When?\n")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3
