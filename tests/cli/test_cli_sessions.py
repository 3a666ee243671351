"""``pace ask`` keeps what it reads; ``pace sessions`` shows it, checks it and removes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pdfs import encrypted, typeset
from terminals import run_on_terminal
from typer.testing import CliRunner, Result

from pace_integrations._files import make_cache_folder
from pace_integrations.cli import app


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("The gate opens at 7:30. The oak stands near the pond.")
    return tmp_path / "notes.txt"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ask(notes: Path, tiny_path: Path, *options: str) -> Result:
    asked = ["ask", notes, "-q", "When?", "--model", tiny_path, "--max-new-tokens", 4, "--json"]
    result = run(*asked, *options)
    assert result.exit_code == 0, result.stderr
    return result


def listed() -> list[dict[str, object]]:
    return list(json.loads(run("sessions", "list", "--json").stdout)["sessions"])


def test_a_second_question_reads_nothing(notes: Path, tiny_path: Path) -> None:
    asked = ["ask", notes, "When?", "--model", tiny_path, "--max-new-tokens", 4, "--json"]
    # Such details are for people who watch.
    runs = [run_on_terminal(*asked, only=("stderr",)) for _ in range(2)]
    one, two = (json.loads(piped) for _, _, piped in runs)
    assert (one["text"], one["citations"]) == (two["text"], two["citations"])
    assert "were read earlier" not in runs[0][1]
    assert f"{two['usage']['cached_tokens']} tokens were read earlier" in runs[1][1]
    (entry,) = listed()
    assert entry["tokens"] == two["usage"]["cached_tokens"]
    assert entry["documents"] == ["notes.txt"]


def test_without_the_store_nothing_is_kept(notes: Path, tiny_path: Path, home: Path) -> None:
    ask(notes, tiny_path, "--no-store")
    assert not home.exists()


def test_a_store_that_cannot_be_written_is_no_obstacle(
    notes: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACE_HOME", str(notes))  # a file
    result = ask(notes, tiny_path)
    assert "nothing is kept" in result.stderr
    assert json.loads(result.stdout)["finish_reason"]


def test_sessions_are_shown_checked_and_removed(notes: Path, tiny_path: Path) -> None:
    ask(notes, tiny_path, "--memory")
    (entry,) = listed()
    key = str(entry["key"])
    assert key[:12] in run("sessions", "list").stdout
    assert "memory.step" in run("sessions", "describe", key[:8]).stdout
    assert json.loads(run("sessions", "describe", key[:8], "--json").stdout)["key"] == key
    assert run("sessions", "verify").exit_code == 0
    (kv,) = Path(str(entry["path"])).glob("data-*/kv.safetensors")
    content = bytearray(kv.read_bytes())
    content[-1] ^= 1
    kv.write_bytes(content)
    assert run("sessions", "verify", "--fast").exit_code == 0  # sizes are the same
    checked = run("sessions", "verify", key[:8], "--json")
    assert checked.exit_code == 1
    assert json.loads(checked.stdout)["sessions"][0]["status"] == "damaged"
    removed = json.loads(run("sessions", "remove", key[:8], "--json").stdout)
    assert [gone["key"] for gone in removed["removed"]] == [key]
    assert listed() == []


def test_pruning_frees_what_it_says(notes: Path, tiny_path: Path) -> None:
    ask(notes, tiny_path)
    kept = run("sessions", "prune")
    assert json.loads(run("sessions", "prune", "--budget", "1 GB", "--json").stdout)["bytes"] == 0
    assert "removed 0 sessions" in kept.stderr
    (entry,) = listed()
    freed = json.loads(run("sessions", "prune", "--budget", "0", "--json").stdout)["bytes"]
    assert freed == entry["bytes"]
    assert listed() == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["describe", "abc"], "abc"),
        (["remove", "abc"], "abc"),
        (["verify", "abc"], "abc"),
        (["prune", "--budget", "lots"], "lots"),
    ],
)
def test_bad_input_is_one_line_and_code_2(words: list[str], named: str) -> None:
    result = run("sessions", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_listing_loads_no_torch() -> None:
    probe = (
        "import sys; from pace_integrations.cli import app\n"
        "app(['sessions', 'list'], standalone_mode=False); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_wiping_removes_what_is_kept_and_asks_before(
    notes: Path, tiny_path: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    ask(notes, tiny_path)
    make_cache_folder(home / "experts")
    make_cache_folder(home / "pages" / "deep")
    (home / "experts" / "a.safetensors").write_bytes(b"order")
    (home / "mine.txt").write_text("mine")
    kept = CliRunner().invoke(app, ["sessions", "wipe"], input="n\n")
    assert kept.exit_code == 1
    assert len(listed()) == 1
    result = run("sessions", "wipe", "--yes")
    assert "could not be removed" in result.stderr  # pages has no mark: others may use it
    assert listed() == []
    assert not (home / "experts").exists()
    assert (home / "mine.txt").read_text() == "mine"
    (home / "pages" / "deep").rename(home / "deep")
    (home / "pages").rmdir()
    assert run("sessions", "wipe", "--yes").exit_code == 0


def test_documents_behind_a_password_are_kept_only_when_asked(
    tmp_path: Path, tiny_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(encrypted(typeset("The gate opens at 7:30."), "secret"))
    secret = ["--password", "secret", "--max-new-tokens", 2, "--model", tiny_path]
    first = run("ask", folder, "-q", "When?", *secret)
    assert "needed a password" in first.stderr
    assert listed() == []
    run("ask", folder, "-q", "When?", *secret, "--store")
    assert len(listed()) == 1
