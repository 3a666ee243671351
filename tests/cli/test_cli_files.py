"""``pace files`` and ``pace ask --highlight``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pdfs import encrypted, typeset
from pypdf import PdfReader
from typer.testing import CliRunner, Result

from pace_integrations.cli import app

PAGES = ["The gate opens at 7:30. The oak stands near the pond.", "Bread is baked on Mondays."]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "house.pdf").write_bytes(typeset(*PAGES))
    (folder / "locked.pdf").write_bytes(encrypted(typeset("The cellar is dry."), "secret"))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_files_are_reported_as_a_table_and_as_json(folder: Path) -> None:
    shown = run("files", folder)
    assert shown.exit_code == 0, shown.output
    for word in ("house.pdf", "ok", "2/2", "locked.pdf", "encrypted", "password"):
        assert word in shown.stdout
    report = json.loads(run("files", folder, "--password", "secret", "--json").stdout)
    assert report["counts"] == {"ok": 2}
    assert [file["words"] for file in report["files"]] == [16, 4]
    only = json.loads(run("files", folder, "--exclude", "lock*", "--json").stdout)
    assert [Path(file["path"]).name for file in only["files"]] == ["house.pdf"]
    nothing = run("files", folder / "locked.pdf")
    assert nothing.exit_code == 0
    assert "encrypted" in nothing.stdout
    (locked,) = json.loads(run("files", folder / "locked.pdf", "--password", "x", "--json").stdout)[
        "files"
    ]
    assert "does not open" in locked["remedy"]
    wrong = run("files", folder, "--pdf", "acrobat")
    assert wrong.exit_code == 2
    assert "acrobat" in wrong.stderr


def test_the_evidence_is_highlighted_in_a_copy(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pdf"
    result = run(
        "ask", folder, "-q", "When does the gate open?", "--json", "--no-store", "--password",
        "secret", "--highlight", out, "--max-new-tokens", 32,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    copies = shown["highlights"]
    assert copies[0]["path"] == str(out)
    quotes = [quote for copy in copies for quote in copy["quotes"]]
    assert {(q["page"], q["quote"]) for q in quotes} == {
        (c["page"], c["quote"]) for c in shown["citations"]
    }
    assert all(quote["rectangles"] for quote in quotes)
    annotated = [page for page in PdfReader(out).pages if "/Annots" in page]
    assert annotated
    assert "highlighted" in result.stderr


def test_what_cannot_be_written_is_refused_before_the_reading(folder: Path) -> None:
    result = run("ask", folder, "-q", "Where?", "--highlight", folder / "no" / "out.pdf")
    assert result.exit_code == 2
    assert "is no folder" in result.stderr
    assert "encrypted" not in result.stderr


def test_pages_that_were_not_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")  # the folder's name may be long
    (tmp_path / "a.pdf").write_bytes(typeset("The oak stands near the pond.", "", "", "Bread."))
    for command in (("files",), ("ask", "-q", "Where is the oak?", "--max-new-tokens", 8)):
        shown = run(*command, tmp_path, *(["--no-store"] if "ask" in command else []))
        assert "pages that are blank: 2-3" in " ".join(shown.output.split())


def test_a_document_is_not_overwritten_by_its_copy(folder: Path) -> None:
    source = folder / "house.pdf"
    before = source.read_bytes()
    result = run(
        "ask", source, "-q", "When does the gate open?", "--json", "--no-store", "--highlight",
        source, "--max-new-tokens", 16,
    )  # fmt: skip
    assert result.exit_code == 2
    assert source.read_bytes() == before
    shown = json.loads(result.stdout)
    assert "is the document itself" in shown["error"]["message"]
    assert shown["citations"]  # the answer is not lost with the copy
