"""Which files are taken, duplicates, outlines and OCR."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import pytest
from pdfs import rewritten, typeset
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from pace_integrations.documents import Corpus, ReadOptions
from pace_integrations.documents.discovery import expand_paths
from pace_integrations.documents.ingest import read_file
from pace_integrations.errors import ConfigError, DocumentError, MissingExtraError

LONG = "The tenant pays the rent on the third day of each month to the account of the bank. "


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["a.txt", "b.md", "old/a.txt", "old/deep/c.txt", "new/d.txt", ".env", "new/.e.txt"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "a.txt b.md new/d.txt old/a.txt old/deep/c.txt"),
        ({"include": ("*.txt",)}, "a.txt new/d.txt old/a.txt old/deep/c.txt"),
        ({"include": ("old/**",)}, "old/a.txt old/deep/c.txt"),
        ({"exclude": ("old",)}, "a.txt b.md new/d.txt"),
        ({"exclude": ("old/*.txt", "b.*")}, "a.txt new/d.txt old/deep/c.txt"),
        ({"include": ("*.txt",), "exclude": ("a.*",)}, "new/d.txt old/deep/c.txt"),
        (
            {"hidden": True, "exclude": ("old",)},
            ".env a.txt b.md new/.e.txt new/d.txt",
        ),
    ],
)
def test_globs_choose_among_the_files_of_a_folder(tree, options, expected):
    found = expand_paths(tree, ReadOptions(**options))
    assert sorted(str(path.relative_to(tree)) for path in found) == sorted(expected.split())
    pattern = str(tree / "**" / "*")
    assert set(expand_paths(pattern, ReadOptions(**options))) == set(found)


def test_a_file_that_is_named_is_taken_whatever_the_globs_say(tree):
    options = ReadOptions(include=("*.md",), exclude=("a.txt",))
    assert expand_paths(tree / "a.txt", options) == [tree / "a.txt"]


def test_duplicates_are_reported_and_left_out_only_if_wanted(tmp_path):
    (tmp_path / "1.pdf").write_bytes(typeset(LONG + "One.", LONG + "Two."))
    (tmp_path / "2.pdf").write_bytes((tmp_path / "1.pdf").read_bytes())
    (tmp_path / "3.pdf").write_bytes(typeset(LONG + "Three.", LONG + "Two.", "Blank."))
    (tmp_path / "4.pdf").write_bytes(typeset("Blank.", title="Fourth"))
    kept = Corpus.from_paths(tmp_path)
    assert [len(document.pages) for document in kept.documents] == [2, 2, 3, 1]
    dropped = Corpus.from_paths(tmp_path, options=ReadOptions(drop_duplicates=True))
    assert [[p.index for p in d.pages] for d in dropped.documents] == [[1, 2], [1, 3], [1]]
    for corpus in (kept, dropped):
        files = corpus.report.files
        first = str(tmp_path / "1.pdf")
        assert [file.duplicate_of for file in files] == [None, first, None, None]
        assert [file.duplicate_pages for file in files] == [0, 0, 1, 0]
        assert [file.words for file in files] == [38, 38, 39, 1]
    assert kept.report.to_dict()["files"][1]["duplicate_of"] == first


@pytest.mark.parametrize("engine", ["pypdf", "pdfium"])
def test_the_outline_gives_the_sections(tmp_path, engine):
    def outline(writer):
        parent = writer.add_outline_item(title="Terms", page_number=1)
        writer.add_outline_item(title="Rent", page_number=1, parent=parent)
        writer.add_outline_item(title="Deposit", page_number=3, parent=parent)
        writer.add_outline_item(title="Nowhere", page_number=None)

    data = rewritten(typeset(*"abcde"), outline)
    (tmp_path / "a.pdf").write_bytes(data)
    (document,) = Corpus.from_paths(tmp_path, options=ReadOptions(pdf=engine)).documents
    assert [p.section for p in document.pages] == [None, "Terms", "Rent", "Deposit", "Deposit"]


def pictured(text: str, stamp: str = "") -> bytes:
    """A PDF with a page of text and a page that is a picture of text, with a stamp on it."""
    import pypdfium2

    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=(300, 100))
    canvas.setFont("Helvetica", 24)
    canvas.drawString(10, 50, text)
    canvas.save()
    sheet = pypdfium2.PdfDocument(buffer.getvalue())
    picture = sheet[0].render(scale=5).to_pil()
    sheet.close()
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=(300, 100))
    canvas.drawString(10, 50, "The first page is text.")
    canvas.showPage()
    canvas.drawImage(ImageReader(picture), 0, 0, width=300, height=100)
    canvas.drawString(200, 80, stamp)
    canvas.save()
    return buffer.getvalue()


@pytest.mark.parametrize("engine", ["pypdf", "pdfium"])
@pytest.mark.parametrize("stamp", ["", "Page 2"])
def test_scanned_pages_are_named_also_where_they_bear_a_stamp(tmp_path, engine, stamp):
    (tmp_path / "scan.pdf").write_bytes(pictured("The rent is 900 euros", stamp))
    corpus = Corpus.from_paths(tmp_path, options=ReadOptions(pdf=engine))
    (file,) = corpus.report.files
    assert [p.text for p in corpus.documents[0].pages] == ["The first page is text.", stamp][
        : 2 if stamp else 1
    ]
    assert file.status == ("ok" if stamp else "partial")
    (named,) = file.on_pages
    assert named.endswith(": 2")
    assert ("as scans have" in named) == bool(stamp)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
@pytest.mark.parametrize(("engine", "stamp"), [("pypdf", "Page 2"), ("pdfium", "")])
def test_scanned_pages_are_recognised_where_it_is_asked_for(tmp_path, engine, stamp):
    (tmp_path / "scan.pdf").write_bytes(pictured("The rent is 900 euros", stamp))
    corpus = Corpus.from_paths(tmp_path, options=ReadOptions(pdf=engine, ocr="eng"))
    first, second = (page.text for page in corpus.documents[0].pages)
    assert first == "The first page is text."
    assert "The rent is 900 euros" in second
    (file,) = corpus.report.files
    assert (file.status, file.warnings) == ("ok", ("pages read by OCR: 2",))


def test_text_is_read_where_pages_cannot_be_drawn(tmp_path, monkeypatch):
    import pypdfium2

    def refuse(*args, **kwargs):
        raise pypdfium2.PdfiumError("damaged")

    monkeypatch.setattr(pypdfium2, "PdfDocument", refuse)
    (tmp_path / "scan.pdf").write_bytes(typeset("A.", ""))
    document, report = read_file(tmp_path / "scan.pdf", ReadOptions(ocr="eng"))
    assert [page.text for page in document.pages] == ["A."]
    assert (report.status, report.warnings) == ("ok", ("pages that are blank: 2",))


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_a_language_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DocumentError, match="'klingon'"):
        Corpus.from_paths(tmp_path, options=ReadOptions(ocr="eng+klingon"))


def test_ocr_that_is_not_installed_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DocumentError, match="tesseract"):
        Corpus.from_paths(tmp_path, options=ReadOptions(ocr="eng"))
    real = __import__("importlib.util").util.find_spec
    find = lambda name, *rest: None if name == "pytesseract" else real(name, *rest)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", find)
    with pytest.raises(MissingExtraError, match=r"\[ocr\]"):
        Corpus.from_paths(tmp_path, options=ReadOptions(ocr="eng"))


@pytest.mark.parametrize(
    "wrong", [{"ocr": "eng; rm"}, {"include": "*.txt"}, {"workers": -1}, {"ocr": ""}]
)
def test_options_outside_their_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        ReadOptions(**wrong)


def test_everything_may_be_excluded(tree):
    with pytest.raises(DocumentError):
        Corpus.from_paths(tree, options=ReadOptions(exclude=("*",)))
