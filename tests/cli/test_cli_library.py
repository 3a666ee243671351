"""``pace library``, and ``pace ask`` where the documents do not fit the context."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoints import save_tiny
from typer.testing import CliRunner, Result

from pace_integrations.cli import app
from pace_integrations.library import watching

PLACES = ["harbor", "bakery", "station", "castle"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that says of itself that it reads page by page."""
    folder = save_tiny(tmp_path_factory.mktemp("model"), "llama", max_position_embeddings=2048)
    (folder / "reading.json").write_text(json.dumps({"index_layers": [1, 2], "threshold": 1.0}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "papers").mkdir()
    for place in PLACES:
        text = f"The {place} has an oak door. The {place} keeper rings a bell.\n"
        (tmp_path / "papers" / f"{place}.txt").write_text(text)
    return tmp_path / "papers"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def library(command: str, *arguments: object) -> dict[str, object]:
    result = run("library", command, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("shared", [False, True], ids=["folder", "address"])
def test_a_library_from_beginning_to_end(
    shared: bool, tmp_path: Path, folder: Path, model: Path
) -> None:
    place = f"file://{tmp_path}/lib" if shared else tmp_path / "lib"
    added = library("add", place, folder, "--model", model)
    assert len(added["added"]) == 4
    assert added["read"] > 0
    (folder / "harbor.txt").unlink()
    (folder / "castle.txt").write_text("The castle has an iron door.\n")
    synced = library("sync", place, folder, "--model", model)
    assert (len(synced["removed"]), len(synced["replaced"])) == (1, 1)
    entry = library("list", place)
    assert [document["title"] for document in entry["documents"]] == [
        "bakery.txt",
        "castle.txt",
        "station.txt",
    ]
    assert [document["numbers"][0] for document in entry["documents"]] == [1, 5, 4]
    stats = library("stats", place)
    assert (stats["documents"], stats["models"]) == (3, 1)
    assert stats["state_bytes"] > stats["index_bytes"] > 0
    assert library("wipe", place)["bytes"] == stats["state_bytes"]
    assert library("stats", place)["state_bytes"] == 0
    assert not list(tmp_path.rglob("states/*/*.safetensors"))
    assert library("remove", place, "bakery.txt")["removed"] == ["bakery.txt"]
    assert len(library("list", place)["documents"]) == 2


def test_text_may_come_first_and_be_read_when_it_is_asked(
    tmp_path: Path, folder: Path, model: Path
) -> None:
    place = tmp_path / "lib"
    assert library("add", place, folder, "--model", model, "--later")["read"] == 0
    asked = ["ask", place, "-q", "What has an oak door?", "--model", model, "--json"]
    answers = [json.loads(run(*asked, "--max-new-tokens", 4).stdout) for _ in range(2)]
    assert [answer["selection"]["read"] > 0 for answer in answers] == [True, False]
    assert answers[0]["text"] == answers[1]["text"]
    assert answers[0]["selection"]["strategy"] == "each"
    assert all("oak door" in c["quote"] for c in answers[0]["evidence"])


def test_what_does_not_fit_the_context_is_asked_as_a_library(
    folder: Path, model: Path, home: Path
) -> None:
    for i in range(20):
        (folder / f"tower{i}.txt").write_text(f"Tower {i} is {i + 10} m high. " * 6)
    asked = ["ask", folder, "-q", "How high is tower 7?", "--model", model, "--json"]
    first = run(*asked, "--max-new-tokens", 4)
    assert first.exit_code == 0, first.stderr
    assert "asked as a library, page by page" in first.stderr
    answer = json.loads(first.stdout)
    assert answer["selection"]["pages"][0]["document"]
    assert len(answer["report"]["files"]) == 24
    (kept,) = (home / "pages").glob("[!.]*")
    assert json.loads(run(*asked, "--max-new-tokens", 4).stdout)["text"] == answer["text"]
    assert library("stats", kept)["documents"] == 24
    # Elsewhere or not at all, as it is asked for.
    again = run(*asked, "--max-new-tokens", 4, "--no-store")
    assert json.loads(again.stdout)["text"] == answer["text"]
    assert len(list((home / "pages").glob("[!.]*"))) == 1


def test_an_unsupported_answer_is_marked_and_shown_with_the_evidence(
    tmp_path: Path, folder: Path, model: Path
) -> None:
    place = tmp_path / "lib"
    library("add", place, folder, "--model", model)
    shown = run(
        "ask", place, "-q", "Who rings a castle bell?", "--model", model, "--max-new-tokens", 4
    )
    assert "not supported by the pages" in shown.stdout
    assert "The castle keeper rings a bell." in " ".join(shown.stdout.split())


def test_a_conversation_chats_with_a_library(tmp_path: Path, folder: Path, model: Path) -> None:
    place = tmp_path / "lib"
    library("add", place, folder, "--model", model)
    lines = "/sources\nWho rings a castle bell?\nWhere?\n/reset\nWho rings a castle bell?\n"
    options = ["--model", str(model), "--max-new-tokens", "4", "--json"]
    result = CliRunner().invoke(app, ["chat", str(place), *options], input=lines)
    assert result.exit_code == 0, result.stderr
    documents, first, second, third = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(documents["documents"]) == 4
    assert first["text"] == third["text"]
    # A question sees the turns before it, until they are forgotten.
    tokens = [said["usage"]["input_tokens"] for said in (first, second, third)]
    assert tokens[0] == tokens[2]
    assert first["selection"]["pages"]


@pytest.mark.parametrize("command", ["list", "stats", "wipe"])
def test_what_is_no_library_is_named(command: str, folder: Path) -> None:
    for place in (folder, f"file://{folder}"):
        result = run("library", command, place)
        assert result.exit_code == 2
        assert f"'{place}' is no library" in " ".join(result.stderr.split())


def test_an_unsupported_answer_is_refused_if_asked_for(folder: Path, model: Path) -> None:
    options = ("--model", model, "--max-new-tokens", 4, "--on-unsupported", "refuse")
    refused = run("ask", folder, "Who rings a castle bell?", *options, "--json")
    assert refused.exit_code == 0, refused.stderr
    answer = json.loads(refused.stdout)
    assert answer["text"] == "The documents do not say."
    assert (answer["citations"], answer["supported"]) == ([], None)
    assert 0 <= answer["support"] < 1
    assert answer["evidence"][0]["quote"] == "The castle keeper rings a bell."
    assert "--on-unsupported" in refused.stderr


def test_refusing_needs_a_model_whose_support_was_measured(
    tmp_path: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = save_tiny(tmp_path_factory.mktemp("plain"), "llama", max_position_embeddings=2048)
    options = ("--model", plain, "--on-unsupported", "refuse", "--no-store")
    refused = run("ask", folder, "Who rings?", *options)
    assert refused.exit_code == 2
    assert "nobody has measured" in refused.stderr


def test_a_folder_is_followed_until_ctrl_c(
    tmp_path: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looks = watching.take_snapshot, []

    def look(*arguments: object) -> object:
        looks.append(arguments)
        if len(looks) == 2:
            (folder / "harbor.txt").unlink()
        if len(looks) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(watching, "take_snapshot", look)
    options = ("--model", model, "--every", "0.1", "--json")
    result = run("library", "watch", tmp_path / "lib", folder, *options)
    assert result.exit_code == 0, result.stderr
    first, second = [json.loads(line) for line in result.stdout.splitlines()]
    assert (len(first["added"]), len(second["removed"])) == (4, 1)


def test_heads_are_calibrated_and_kept(tmp_path: Path, home: Path) -> None:
    model = save_tiny(tmp_path / "plain", "llama", max_position_embeddings=2048)
    result = run("calibrate", "--heads", "--model", model, "--questions", 8)
    assert result.exit_code == 0, result.stderr
    assert "right page first" in result.stdout
    assert list((home / "heads").glob("*.json"))
    assert run("calibrate", "--model", model).exit_code == 2
