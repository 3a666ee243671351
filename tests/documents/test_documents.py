"""From paths and texts to a corpus: order, statuses, errors, fingerprints."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pdfs import encrypted, scanned, typeset

from pace_integrations.documents import Corpus, Document, NothingReadError, Page, Report
from pace_integrations.documents.discovery import expand_paths, natural_key
from pace_integrations.errors import DocumentError, PaceError

PDF = typeset("The rent is 900 euros.", "Pets are allowed.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of everything: nested, hidden, unsupported, broken, without suffix."""
    root = tmp_path / "docs"
    (root / "sub" / ".git").mkdir(parents=True)
    (root / "page-10.txt").write_text("ten")
    (root / "page-2.txt").write_text("two")
    (root / "Rent.PDF").write_bytes(PDF)
    (root / "sub" / "report").write_bytes(b"\r\n" + PDF)
    (root / "sub" / "notes.md").write_text("# Notes\n\nA note.")
    (root / "sub" / ".git" / "config.txt").write_text("hidden")
    (root / ".hidden.txt").write_text("hidden")
    (root / "table.xlsx").write_bytes(b"PK\x03\x04")
    (root / "locked.pdf").write_bytes(encrypted(PDF, "secret"))
    (root / "scan.pdf").write_bytes(scanned())
    (root / "zero.txt").write_bytes(b"")
    return root


def names(corpus: Corpus) -> list[str]:
    return [Path(document.source).name for document in corpus.documents]


def statuses(corpus: Corpus) -> dict[str, str]:
    return {Path(file.path).name: file.status for file in corpus.report.files}


def test_a_folder_is_read_to_the_bottom_and_every_file_has_a_status(folder):
    corpus = Corpus.from_paths(folder)
    assert names(corpus) == ["page-2.txt", "page-10.txt", "Rent.PDF", "notes.md", "report"]
    assert statuses(corpus) == {
        "locked.pdf": "encrypted",
        "page-2.txt": "ok",
        "page-10.txt": "ok",
        "Rent.PDF": "ok",
        "scan.pdf": "no_text_layer",
        "notes.md": "ok",
        "report": "ok",
        "table.xlsx": "corrupt",
        "zero.txt": "empty",
    }
    assert corpus.report.counts()["ok"] == 5
    assert [Path(file.path).name for file in corpus.report.problems] == [
        "locked.pdf",
        "scan.pdf",
        "table.xlsx",
        "zero.txt",
    ]
    assert all(file.remedy for file in corpus.report.problems)
    assert json.loads(json.dumps(corpus.report.to_dict()))["counts"]["ok"] == 5


def test_the_source_is_the_path_as_it_was_named(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert Corpus.from_paths("docs/page-2.txt").documents[0].source == "docs/page-2.txt"


def test_a_file_named_twice_is_read_once(folder):
    named = [folder / "page-2.txt", str(folder / "sub" / ".." / "page-2.txt"), folder]
    corpus = Corpus.from_paths(named)
    assert names(corpus).count("page-2.txt") == 1
    assert names(corpus)[0] == "page-2.txt"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["page-2.txt", "page-10.txt", "zero.txt"]),
        ("page-?.txt", ["page-2.txt"]),
        ("**/*.md", ["notes.md"]),
        ("**/*.txt", ["page-2.txt", "page-10.txt", "zero.txt"]),
        ("s*", ["scan.pdf", "notes.md", "report"]),
        ("**/sub", ["notes.md", "report"]),
    ],
)
def test_patterns_are_expanded_in_natural_order(folder, pattern, expected):
    assert [path.name for path in expand_paths(str(folder / pattern))] == expected


def test_a_name_with_pattern_characters_is_a_name_first(tmp_path):
    path = tmp_path / "report [final].txt"
    path.write_text("text")
    assert expand_paths(path) == [path]


def test_a_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert [path.name for path in expand_paths("~/page-2.txt")] == ["page-2.txt"]


def test_links_that_loop_are_entered_once(folder):
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "same.txt").symlink_to(folder / "page-2.txt")
    without = len(Corpus.from_paths(folder / "page-2.txt").documents)
    assert without == 1
    assert len(Corpus.from_paths(folder).documents) == 5
    assert len(expand_paths(str(folder / "**" / "*.txt"))) == 3


def test_what_is_no_file_is_reported_and_never_opened(folder):
    os.mkfifo(folder / "pipe.txt")
    (folder / "gone.pdf").symlink_to(folder / "nowhere.pdf")
    (folder / "self.pdf").symlink_to(folder / "self.pdf")
    found = statuses(Corpus.from_paths(folder))
    assert (found["pipe.txt"], found["gone.pdf"]) == ("unsupported", "unsupported")


def test_a_file_that_cannot_be_opened_is_reported(folder, monkeypatch):
    real = Path.open

    def refuse(path, *args, **kwargs):
        if path.name == "page-2.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    corpus = Corpus.from_paths(folder)
    report = next(file for file in corpus.report.files if file.path.endswith("page-2.txt"))
    assert report.status == "corrupt"
    assert report.warnings == ("the file cannot be opened: Permission denied",)
    assert "may read" in report.remedy


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    real = Path.iterdir

    def refuse(path):
        if path.name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert statuses(Corpus.from_paths(folder))["sub"] == "unsupported"
    with pytest.raises(DocumentError, match="cannot be listed"):
        Corpus.from_paths(folder / "sub")


def test_a_wrong_suffix_does_not_hide_a_pdf_and_a_text_may_speak_of_one(tmp_path):
    (tmp_path / "contract.txt").write_bytes(PDF)
    (tmp_path / "format.md").write_text("A file begins with the line %PDF-1.7 and goes on.")
    (tmp_path / "mailed.dat").write_bytes(b"Content-Type: x\r\n\r\n" + PDF)
    corpus = Corpus.from_paths(tmp_path)
    assert [len(document.pages) for document in corpus.documents] == [2, 1, 2]


@pytest.mark.parametrize("path", ["nowhere.pdf", "no/such/folder", "", "  ", "a\0b", "*.pdf"])
def test_a_path_that_leads_nowhere_is_one_line_with_its_name(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DocumentError) as caught:
        Corpus.from_paths(path)
    assert repr(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, PaceError | ValueError)


def test_a_folder_without_supported_files_says_what_is_supported(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / ".hidden.txt").write_text("hidden")
    with pytest.raises(DocumentError, match=re.escape(".pdf")) as caught:
        Corpus.from_paths([tmp_path])
    assert tmp_path.name in str(caught.value)
    with pytest.raises(DocumentError, match="no path was given"):
        Corpus.from_paths([])


def test_where_nothing_was_readable_the_error_carries_the_report(tmp_path):
    (tmp_path / "locked.pdf").write_bytes(encrypted(PDF, "secret"))
    (tmp_path / "zero.txt").write_bytes(b"")
    with pytest.raises(NothingReadError, match="1 encrypted, 1 empty") as caught:
        Corpus.from_paths(tmp_path)
    assert [file.status for file in caught.value.report.files] == ["encrypted", "empty"]
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DocumentError)


def test_progress_counts_files_and_may_end_the_reading(folder):
    seen = []
    Corpus.from_paths(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 9) for number in range(1, 10)]

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.from_paths(folder, progress=cancel)


def test_texts_become_documents_in_their_order():
    corpus = Corpus.from_texts({"b": "one\ftwo", "a": "three", "blank": " "})
    assert [document.title for document in corpus.documents] == ["b", "a"]
    assert [(p.index, p.label, p.text) for _, p in corpus.pages()] == [
        (1, None, "one"),
        (2, None, "two"),
        (1, None, "three"),
    ]
    assert [file.status for file in corpus.report.files] == ["ok", "ok", "empty"]
    assert corpus.documents[0].source is None
    assert Corpus.from_texts([("b", "one\ftwo"), ("a", "three")]).documents == corpus.documents


@pytest.mark.parametrize("texts", [{}, [], {"a": ""}, "ab", ["ab"], [("a", "b", "c")], {"a": 1}])
def test_texts_that_are_none_are_refused(texts):
    with pytest.raises(DocumentError):
        Corpus.from_texts(texts)


def test_corpora_add_up_and_what_stands_in_both_comes_once(folder):
    first = Corpus.from_paths(folder / "page-2.txt")
    second = Corpus.from_paths([folder / "page-2.txt", folder / "page-10.txt"])
    both = first + second
    assert names(both) == ["page-2.txt", "page-10.txt"]
    assert len(both.report.files) == 2
    assert both.documents == second.documents
    with pytest.raises(TypeError):
        first + second.documents


def test_the_fingerprint_is_that_of_what_is_read(folder, tmp_path):
    corpus = Corpus.from_paths(folder)
    copy = tmp_path / "copy"
    folder.rename(copy)
    assert Corpus.from_paths(copy).fingerprint == corpus.fingerprint
    assert len(corpus.fingerprint) == 64
    (copy / "page-2.txt").write_text("changed")
    assert Corpus.from_paths(copy).fingerprint != corpus.fingerprint
    assert Corpus.from_texts({"a": "b"}).fingerprint != Corpus.from_texts({"c": "b"}).fingerprint


def test_a_document_of_pages_hashes_their_text():
    pages = [Page(1, "i", "one"), Page(2, "ii", " "), Page(3, None, "\ud800")]
    document = Document.from_pages("title", pages, source="x", metadata={"author": "A"})
    assert document.pages == (pages[0], pages[2])
    assert document.id == document.sha256[:16]
    assert document.sha256 != Document.from_pages("title", pages[:1]).sha256
    assert Corpus((document,)).report == Report()


@given(st.lists(st.text(max_size=12)).flatmap(lambda x: st.tuples(st.just(x), st.permutations(x))))
def test_natural_order_does_not_depend_on_the_order_of_the_listing(listings):
    first, second = (sorted(listing, key=natural_key) for listing in listings)
    assert first == second


def test_natural_order_counts():
    listed = ["b2", "B10", "a", "b1", "10", "9"]
    assert sorted(listed, key=natural_key) == ["9", "10", "a", "b1", "b2", "B10"]
