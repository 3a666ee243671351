"""The shell's manners, on pseudo-terminals and pipes: the rows of the guide's table."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from pdfs import encrypted, typeset
from typer.testing import CliRunner, Result

pytest.importorskip("pty")
from terminals import SCRIPT, run_on_terminal, run_piped, start_on_terminal

from pace_integrations import __version__
from pace_integrations.cli import app
from pace_integrations.cli.spelling import to_shell_words
from pace_integrations.entry import main
from pace_integrations.model._transformers import disable_progress_bars

GUIDE = Path(__file__).parents[2] / "docs" / "pages" / "guides" / "shell.md"
ESCAPE = "\x1b["
OAK = "The oak stands near the pond."
WHERE = "Where is the oak?"
SHORT = ("--max-new-tokens", 4, "--no-store")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text(OAK)
    return folder


@pytest.fixture
def options(tiny_path: Path) -> tuple[object, ...]:
    return ("--model", tiny_path, *SHORT)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    disable_progress_bars()  # of other packages, as the script does


def run(*arguments: object, lines: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=lines)


def read_table() -> dict[str, list[str]]:
    """The rows of the guide's table: the manner, and each tool's word for it."""
    lines = [line for line in GUIDE.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    start = next(i for i, row in enumerate(rows) if row[1:] == ["pace", "llm", "ruff", "rg", "uv"])
    return {row[0]: row[1:] for row in rows[start + 1 :] if set(row[0]) != {"-"} and len(row) == 6}


# Each row of the guide's table, and the test that holds it.
ROWS: dict[str, str] = {}


def manner(row: str):
    """Note which row of the table a test holds."""

    def note(test):
        ROWS[row] = test.__name__
        return test

    return note


def test_the_table_has_no_no_for_ours_and_a_test_for_every_row() -> None:
    table = read_table()
    assert set(table) == set(ROWS)
    assert {row: words[0] for row, words in table.items() if words[0] != "yes"} == {}


@manner("`-h` is help, `-V` the version")
def test_help_and_version_are_short_options() -> None:
    assert run("-V").stdout == run("--version").stdout == f"pace-integrations {__version__}\n"
    for words in ((), ("ask",), ("library",), ("library", "add"), ("sessions", "list")):
        short, long = run(*words, "-h"), run(*words, "--help")
        assert (short.exit_code, short.stdout) == (0, long.stdout)
        assert short.stdout.startswith("Usage: pace")


@manner("nothing given: help on standard error, code 2")
def test_nothing_given_is_help() -> None:
    for words in ((), ("library",), ("sessions",)):
        result = run(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: pace")


@manner("what is asked is an argument")
def test_the_question_stands_behind_the_documents(notes: Path, options: tuple[object, ...]) -> None:
    (notes / "b c.txt").write_text("Bread is baked on Mondays.")
    with_option = run("ask", notes, "-q", WHERE, *options)
    assert with_option.exit_code == 0, with_option.stderr
    assert run("ask", notes, WHERE, *options).stdout == with_option.stdout
    one, two = notes / "a.txt", notes / "b c.txt"  # a blank in a name makes no question of it
    assert run("ask", one, two, "Oak?", *options).stdout.startswith("Oak?\n")
    assert run("ask", one, "oak", *options).stdout.startswith("oak\n")


MISTAKES = {
    "no question": ("{notes}",),
    "no documents": (WHERE,),
    "missing": ("{notes}/none.txt", WHERE),
    "missing last": ("{notes}/a.txt", "{notes}/none.txt"),
    "missing with a blank": ("{notes}/a.txt", "{notes}/no ne.txt"),
    "missing by its suffix": ("{notes}/a.txt", "none.pdf"),
    "two questions": ("{notes}", WHERE, "And the elm?"),
    "too long for a name": ("x" * 5000, WHERE),
    "a zero byte": ("a\0b", WHERE),
    "no such user": ("~nobody-of-that-name/a.txt", WHERE),
    "input given twice": ("{notes}", "-", "-"),
    "input as a document": ("-", "-q", WHERE),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_arguments_is_one_line(case: str, notes: Path) -> None:
    result = run("ask", *(word.format(notes=notes) for word in MISTAKES[case]))
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"pace: [^\n]+\n", result.stderr), result.stderr


@manner("or comes on standard input, for `-`")
def test_the_question_comes_on_standard_input(notes: Path, options: tuple[object, ...]) -> None:
    asked = run("ask", notes, "-", *options, lines=f"{WHERE}\n")
    assert asked.stdout == run("ask", notes, WHERE, *options).stdout
    assert run("ask", notes, "-q", "-", *options, lines=WHERE).stdout == asked.stdout
    assert run("ask", notes, "-", *options, lines=" \n").exit_code == 2


@manner("an empty argument is an error")
def test_an_empty_argument_is_an_error(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(notes)  # which must not be read instead
    empty = (
        ("ask", ""), ("ask", "", WHERE), ("ask", notes, ""), ("ask", notes, "-q", ""),
        ("ask", notes, "", WHERE), ("chat", ""), ("files", " "), ("library", "list", ""),
        ("library", "add", "", notes), ("serve", ""), ("memory", ""), ("experts", ""),
    )  # fmt: skip
    for words in empty:
        result = run(*words)
        assert (result.exit_code, result.stdout) == (2, ""), words
        assert "empty" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@manner("one command installs completion")
def test_completion_is_installed_by_one_command(tmp_path: Path) -> None:
    # Typer asks which shell its parent is; a runner of tests may have none.
    home = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = run_piped("--install-completion", "bash", env=home)
    assert done.returncode == 0, done.stderr
    assert "_PACE_COMPLETE" in (tmp_path / ".bash_completions" / "pace.sh").read_text()
    assert "pace.sh" in (tmp_path / ".bashrc").read_text()
    for shell in ("zsh", "fish"):
        assert "_PACE_COMPLETE" in run_piped("--show-completion", shell, env=home).stdout


def complete(*words: str) -> list[str]:
    """What bash is offered for the last word."""
    env = {"_PACE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("pace", *words))}
    env["COMP_CWORD"] = str(len(words))
    return CliRunner().invoke(app, [], prog_name="pace", env=env).stdout.split()


@manner("completion knows the values: models, libraries, documents")
def test_completion_knows_models_and_libraries(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shelf = tmp_path / "shelf"
    make_library(shelf)
    for words in (("ask", "--model", "pace-"), ("serve", "--model", "")):
        assert sorted(complete(*words)) == ["pace-nano", "pace-small"]
    assert sorted(complete("models", "get", "")) == ["nano", "small"]
    assert complete("library", "list", "sh") == ["shelf"]
    assert complete("ask", "") == ["notes/", "shelf"]
    assert complete("ask", "no") == ["notes/", "notes/a.txt"]  # no blank behind it
    assert complete("ask", "none") == []
    assert "sync" in complete("library", "sy")


def make_library(folder: Path) -> None:
    """A folder that looks like a library."""
    from pace_integrations.library.catalog import FILE

    folder.mkdir()
    (folder / FILE).write_text("{}")


@manner("a row is a line when piped, however long")
def test_nothing_is_folded_in_a_pipe(
    tmp_path: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    sentence = "The oak stands near the pond " + "and the elm beside it " * 20 + "since 1900."
    deep = tmp_path / ("long name " * 20).strip()
    deep.mkdir()
    (deep / "a.txt").write_text(sentence)
    (deep / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    lines = run("files", deep).stdout.splitlines()
    assert len(lines) == 4  # the folder, the header and two files
    assert all(line == line.rstrip() for line in lines)
    asked = run("ask", deep / "a.txt", "Where does the oak stand?", *options)
    quotes = [line for line in asked.stdout.splitlines() if "elm beside it" in line]
    assert not quotes or "since 1900." in quotes[0]
    assert all(len(line.split("\n")) == 1 for line in run("models").stdout.splitlines())
    monkeypatch.delenv("COLUMNS")
    helped = run("ask", "-h").stdout
    assert max(map(len, helped.splitlines())) > 120
    assert "[default: no-memory]" in helped
    # On a terminal, cells are folded to its width.
    assert len(run_on_terminal("files", deep, columns=60)[1].splitlines()) > len(lines)


@manner("many equal skips are counted in one line")
def test_equal_skips_share_a_line(tmp_path: Path, options: tuple[object, ...]) -> None:
    (tmp_path / "a.txt").write_text(OAK)
    for i in range(30):
        (tmp_path / f"scan-{i}.pdf").write_bytes(typeset(""))
    for i in range(2):
        (tmp_path / f"locked-{i}.pdf").write_bytes(encrypted(typeset(OAK), "secret"))
    result = run("ask", tmp_path, WHERE, *options)
    assert result.exit_code == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "scan-" in line]
    assert len(lines) <= 2  # the files, and their pages
    assert lines[0].startswith("30 files (")
    assert "27 more" in lines[0]
    (locked,) = [line for line in result.stderr.splitlines() if "locked-" in line]
    assert "locked-0.pdf, " in locked
    assert len(json.loads(run("files", tmp_path, "--json").stdout)["files"]) == 33


@manner("a conversation has line editing, a history and commands")
def test_a_conversation_is_edited_and_remembered(
    notes: Path, options: tuple[object, ...], tmp_path: Path
) -> None:
    kept = [word for word in options if word != "--no-store"]
    env = {"PACE_HOME": str(tmp_path / "home")}
    with start_on_terminal("chat", notes, *kept, env=env) as (terminal, process):
        at = terminal.wait_for("> ")
        terminal.type("/sources\n")  # before the first answer: the documents
        at = terminal.wait_for("a.txt", after=at)
        at = terminal.wait_for("> ", after=at)
        terminal.type("Where is the elm?\x1b[D\x7f\x7f\x7foak\n")  # back over the mark, elm out
        at = terminal.wait_for("> ", after=terminal.wait_for("tokens read before", after=at))
        terminal.type("/help\n")
        at = terminal.wait_for("> ", after=terminal.wait_for("/exit", after=at))
        terminal.type("\x1b[A\x1b[A\n")  # two up in the history
        at = terminal.wait_for("> ", after=terminal.wait_for("tokens read before", after=at))
        terminal.type("/exit\n")
        assert process.wait(20) == 0
    history = tmp_path / "home" / "history" / "chat"
    assert history.read_text().splitlines().count("Where is the oak?") >= 1
    assert "elm" not in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    assert run("sessions", "wipe", "--yes").exit_code == 0
    assert not history.exists()


def test_commands_of_a_conversation_work_in_a_pipe(
    notes: Path, options: tuple[object, ...], tmp_path: Path
) -> None:
    lines = f"/sources\n{WHERE}\n/sources\n/nothing\n/help\n/etc/hosts?\n/exit\nNever?\n"
    result = run("chat", notes, "--json", *options, lines=lines)
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert said[0] == {"documents": ["a.txt"]}
    assert [line.get("question") for line in said] == [None, WHERE, None, "/etc/hosts?"]
    assert "sources" in said[2]
    assert "no command /nothing" in result.stderr
    assert "/reset" in result.stderr
    assert not (tmp_path / "home" / "history").exists()


@manner("options are checked before a file is read")
def test_options_are_checked_before_a_file_is_read(
    notes: Path, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes / "locked.pdf").write_bytes(encrypted(typeset(OAK), "secret"))  # is told when it is read
    wrong: dict[str, tuple[object, ...]] = {
        "--temperature": ("--temperature", "-1"),
        "--chunk": ("--chunk", "0"),
        "--dtype": ("--dtype", "int8"),
        "--device": ("--device", "gpu"),
        "--kv": ("--kv", "int8", "--overflow", "window"),
        "--context": ("--context", "0"),
        "--overflow": ("--overflow", "yarn", "--context", "8"),
        "no/such-model": ("--model", "no/such-model"),
        "--time-limit": ("--time-limit", "-1"),
        "--ocr": ("--ocr", "a b"),
        "none-of-it": ("--adapter", tmp_path / "none-of-it"),
        "is no folder": ("--highlight", tmp_path / "none" / "out.pdf"),
    }
    for named, words in wrong.items():
        model = () if "--model" in words else ("--model", tiny_path)
        result = run("ask", notes, WHERE, *model, *words)
        assert (result.exit_code, result.stdout) == (2, ""), words
        (line,) = result.stderr.splitlines()
        assert line.count(named) == 1, line
    result = run("library", "add", tmp_path / "shelf", notes, "--dtype", "int8")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "shelf").exists()
    for command in ("mcp", "bench"):
        data = () if command == "bench" else ("--data", tmp_path / "data")
        (line,) = run(command, *data, "--device", "gpu").stderr.splitlines()
        assert line.count("--device") == 1
    (tmp_path / "file").touch()
    result = run("mcp", "--data", tmp_path / "file")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


@manner("a message names the option as it is typed, once")
def test_a_message_names_what_can_be_typed(notes: Path, tiny_path: Path) -> None:
    (notes / "book.txt").write_text("It rained all day. " * 400)
    (notes / "locked.pdf").write_bytes(encrypted(typeset(OAK), "secret"))
    asked = ("ask", notes, WHERE, "--model", tiny_path, "--no-store")
    result = run(*asked, "--context", "256", "--max-new-tokens", "200")
    assert result.exit_code == 2
    locked, *_, last = result.stderr.splitlines()
    assert locked.count("--password") == 1
    for line in result.stderr.splitlines():
        assert not re.search(r"overflow=|max_new_tokens|ReadOptions|timeout=", line), line
    assert last.startswith("pace: ")
    (line,) = run("ask", notes, WHERE, "--overflow", "yarm").stderr.splitlines()
    assert line.count("--overflow") == 1
    (line,) = run("asc").stderr.splitlines()
    assert "'ask'" in line
    assert to_shell_words("a password (--password, ReadOptions.password) or a copy") == (
        "a password (--password) or a copy"
    )


@manner("no traceback, whatever the system refuses")
@pytest.mark.skipif(sys.platform != "linux", reason="such devices are Linux's")
def test_what_the_system_refuses_is_one_line(notes: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        for words in (("files", notes), ("-h",), ("models", "--json")):
            result = run_piped(*words, capture_output=False, stdout=full, stderr=-1)
            assert result.returncode == 2
            assert result.stderr == "pace: No space left on device\n"
    gone = tmp_path / "gone"
    gone.mkdir()
    # As the installed script, which does not import from the working directory either.
    command = f"exec '{sys.executable}' -P -c '{SCRIPT}' files"
    result = run_in_shell(f"cd {gone}; rmdir {gone}; {command} x.txt")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    closed = run_in_shell(f"{command} {notes} >&- 2>&-")
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, "", "")


def run_in_shell(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_of_the_system_within_a_command_is_one_line(
    notes: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    from pace_integrations.documents import Corpus

    for kind, text in (
        (PermissionError(13, "Permission denied", "/x/y"), "/x/y: Permission denied"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ConnectionResetError(), "ConnectionResetError"),
        (OSError("the line is dead"), "the line is dead"),
    ):

        def fail(*_: object, error: OSError = kind, **__: object) -> None:
            raise error

        monkeypatch.setattr(Corpus, "from_paths", fail)
        result = run("files", notes, *(["--json"] if as_json else []))
        assert result.exit_code == 2
        if as_json:
            assert json.loads(result.stdout)["error"]["message"] == text
        else:
            assert result.stderr == f"pace: {text}\n"


@manner("a reader that has seen enough is no error")
def test_a_reader_may_leave(notes: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    result = run_piped("files", notes, capture_output=False, stdout=write, stderr=-1)
    os.close(write)
    assert (result.returncode, result.stderr) == (0, "")


@manner("Ctrl-C ends with 130, without a traceback")
def test_ctrl_c_is_quiet(notes: Path) -> None:
    with start_on_terminal("ask", notes, "-") as (terminal, process):
        terminal.type("Where is")  # waits for the rest of it
        terminal.wait_for("Where is")
        time.sleep(1.5)  # until it reads
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        assert "Traceback" not in terminal.text


def test_ctrl_c_while_packages_are_imported_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pace_integrations.cli", _Interrupting("cli"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


class _Interrupting(ModuleType):
    """A package whose import is interrupted."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_the_servers_key_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = ("serve", tmp_path / "missing", "--host", "0.0.0.0")
    refused = run(*command)
    monkeypatch.setenv("PACE_API_KEY", "a-long-enough-key")
    taken = run(*command)
    assert (refused.exit_code, taken.exit_code) == (2, 2)
    assert "--api-key" in refused.output
    assert "--api-key" not in taken.output
    assert "missing" in taken.output


COLORS = [
    ({}, True, True),
    ({"NO_COLOR": "1"}, True, False),
    ({"NO_COLOR": ""}, True, True),
    ({"FORCE_COLOR": "1"}, False, True),
    ({"FORCE_COLOR": "0"}, True, False),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ({}, False, False),
    ({"TERM": "dumb"}, True, False),
]


@manner("colors go by NO_COLOR, FORCE_COLOR and the terminal")
@pytest.mark.parametrize(("env", "on_terminal", "colored"), COLORS)
def test_colors_go_by_the_environment(
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    on_terminal: bool,
    colored: bool,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    only = ("stdout", "stderr") if on_terminal else ()
    code, shown, piped = run_on_terminal("ask", notes / "none.txt", WHERE, only=only)
    assert code == 2
    text = shown or piped
    assert text.replace(ESCAPE, "").strip()
    assert (ESCAPE in text) == colored


@manner("progress is on standard error, and only on a terminal")
def test_progress_is_for_people(
    notes: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("ask", notes, WHERE, *options)
    _, shown, piped = run_on_terminal(*asked, only=("stderr",))
    assert "loading" in shown
    assert "reading" in shown
    assert piped.startswith(f"{WHERE}\n")
    assert ESCAPE not in piped
    _, shown, piped = run_on_terminal(*asked, only=("stdout",))
    assert "reading" not in shown
    assert piped == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # colors are no reason to move a cursor
    _, _, piped = run_on_terminal(*asked, only=())
    assert "reading" not in piped
    assert "\r" not in piped
    assert "\x1b[2K" not in piped
    assert "\x1b[?25l" not in piped


@manner("exit codes are in the guide")
def test_the_exit_codes_are_those_of_the_guide(notes: Path, tmp_path: Path) -> None:
    told = set(re.findall(r"^\| (\d+) \|", GUIDE.read_text(), re.M))
    assert told == {"0", "1", "2", "130"}
    assert run("files", notes).exit_code == 0
    assert run("files", tmp_path / "none").exit_code == 2
    assert run("files", "--none").exit_code == 2
