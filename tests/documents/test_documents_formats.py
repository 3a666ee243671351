"""HTML, DOCX, EPUB and PDF by pdfium: what is read, in which order, and what is left out."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import docx
import pytest
from docx.enum.text import WD_BREAK
from hypothesis import given
from hypothesis import strategies as st
from pdfs import encrypted, labelled, scanned, typeset, without_pages
from samples import book, chapter, paragraph
from samples import word as raw_word

from pace_integrations.documents import Corpus, ReadLimits, ReadOptions
from pace_integrations.documents.formats.sniffing import detect_format
from pace_integrations.documents.ingest import read_file
from pace_integrations.errors import ConfigError

PDFIUM = ReadOptions(pdf="pdfium")
PDF = typeset("The rent is 900 euros.\nPayable monthly.", "Pets are allowed.", title="Rental terms")


def read(tmp_path: Path, name: str, data: bytes | str, options: ReadOptions | None = None):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_file(path, options or ReadOptions())


def text_of(document) -> str:
    assert len(document.pages) == 1
    return document.pages[0].text


def test_html_reads_as_its_page_reads(tmp_path):
    page = """<!DOCTYPE html><html><head><title>House  rules</title>
    <meta name="author" content="A. Keller"><style>p {}</style></head><body>
    <nav><a href="/">Home</a></nav><script>var x = 1;</script>
    <h1>House rules</h1><p>The gate opens at <b>7:30</b>,<br>on Sundays at&nbsp;9.</p>
    <!-- a comment --><p hidden>secret</p><p style="display: none">secret</p>
    <ul><li>No noise</li><li>No <i>fires</i></li></ul>
    <table><tr><th>Room</th><th>Rent</th></tr><tr><td>Attic</td><td>400</td></tr></table>
    <pre>a
  b</pre><p>End.</body></html>"""
    document, report = read(tmp_path, "rules.html", page)
    assert text_of(document) == (
        "House rules\n\nThe gate opens at 7:30,\non Sundays at 9.\n\n- No noise\n- No fires\n\n"
        "Room | Rent\nAttic | 400\n\na\nb\n\nEnd."
    )
    assert (document.title, document.metadata) == ("House rules", {"author": "A. Keller"})
    assert (report.status, document.pages[0].label) == ("ok", None)


def test_what_stands_beside_the_main_part_is_read_and_navigation_named(tmp_path):
    page = "<body><nav>Home</nav><header>Phone 55-22</header><main>Words.</main></body>"
    document, report = read(tmp_path, "a.html", page)
    assert text_of(document) == "Phone 55-22\nWords."
    assert report.warnings == ("navigation, not read: 1",)


@pytest.mark.parametrize("encoding", ["iso-8859-2", "shift_jis", "utf-16", "utf-8"])
def test_html_is_decoded_as_it_declares(tmp_path, encoding):
    said = {"shift_jis": "契約は九月一日"}.get(encoding, "Umowa najmu: zażółć gęślą jaźń")
    page = f'<html><head><meta charset="{encoding}"></head><body><p>{said}</p></body></html>'
    document, report = read(tmp_path, "a.html", page.encode(encoding))
    assert (text_of(document), report.status) == (said, "ok")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "empty"),
        ("<html></html>", "empty"),
        ("<script>x</script>", "empty"),
        (b"\0\1", "corrupt"),
    ],
)
def test_html_without_text_has_a_status(tmp_path, data, status):
    document, report = read(tmp_path, "a.html", data)
    assert (document, report.status) == (None, status)
    assert report.remedy.endswith(".")


def test_deep_and_unclosed_html_is_read(tmp_path):
    deep = "<div>" * 20_000 + "The rent is 900 euros."
    document, report = read(tmp_path, "deep.html", f"<html><body><p>First.</p>{deep}")
    assert (text_of(document), report.status) == ("First.\n\nThe rent is 900 euros.", "ok")


def word(change=lambda document: None) -> bytes:
    document = docx.Document()
    change(document)
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def lease(document) -> None:
    document.core_properties.title = "Lease"
    document.core_properties.author = "A. Keller"
    document.sections[0].header.paragraphs[0].text = "CONFIDENTIAL"
    document.add_heading("Rent", 1)
    paragraph = document.add_paragraph("The rent is ")
    paragraph.add_run("900").bold = True
    paragraph.add_run("\teuros.")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ["Room", "Rent", "Attic", "400"], strict=True):
        cell.text = text
    document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    document.add_heading("Pets", 1)
    document.add_paragraph("Pets are allowed.")


def test_word_documents_are_read_in_order_with_their_pages_and_headings(tmp_path):
    document, report = read(tmp_path, "lease.docx", word(lease))
    assert [(page.index, page.label, page.section) for page in document.pages] == [
        (1, None, "Rent"),
        (2, None, "Pets"),
    ]
    assert document.pages[0].text == (
        "CONFIDENTIAL\nRent\nThe rent is 900 euros.\nRoom | Rent\nAttic | 400"
    )
    assert document.pages[1].text == "Pets\nPets are allowed."
    assert (document.title, document.metadata["author"]) == ("Lease", "A. Keller")
    assert (report.status, report.pages) == ("ok", 2)
    assert read(tmp_path, "empty.docx", word())[1].status == "empty"


CHAPTERS = {"two": chapter("Two", "Storm&nbsp;at sea."), "one": chapter("One", "They left.")}


def test_books_are_read_in_the_order_of_the_spine(tmp_path):
    document, report = read(tmp_path, "sea.epub", book(CHAPTERS, ["one", "two"]))
    assert [(p.index, p.section, p.text) for p in document.pages] == [
        (1, "One", "One\n\nThey left."),
        (2, "Two", "Two\n\nStorm at sea."),
    ]
    assert (document.title, document.metadata) == ("Sea stories", {"author": "M. Reed"})
    assert report.status == "ok"


def test_a_locked_book_and_a_book_with_a_lost_chapter_have_a_status(tmp_path):
    rights = '<e><CipherReference URI="OPS/text/one.xhtml"/></e>'
    locked = book(CHAPTERS, ["one"], {"META-INF/encryption.xml": rights})
    assert read(tmp_path, "locked.epub", locked)[1].status == "encrypted"
    data = book({**CHAPTERS, "gone": ""}, ["one", "gone", "two"])
    document, report = read(tmp_path, "lost.epub", data)
    assert (report.status, [page.index for page in document.pages]) == ("partial", [1, 3])
    assert "gone.xhtml" in report.warnings[0]


def test_an_entity_bomb_and_a_zip_bomb_stay_small(tmp_path):
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE html [<!ENTITY l0 "ha">{laughs}]><html><body>&l9;</body></html>'
    _, report = read(tmp_path, "laughs.epub", book({"one": bomb}, ["one"]))
    assert report.status in {"empty", "corrupt"}
    options = ReadOptions(ReadLimits(expanded=100_000))
    for name, data in [
        ("zeros.epub", book({"one": chapter("One", "0" * 200_000)}, ["one"])),
        ("zeros.docx", word(lambda d: d.add_paragraph("0" * 200_000))),
    ]:
        _, report = read(tmp_path, name, data, options)
        assert report.status == "unsupported"
        assert "limit" in report.warnings[0]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("pdf.html", lambda: PDF),
        ("page.pdf", lambda: b"<!DOCTYPE html><html><p>Pets are allowed.</p></html>"),
        ("lease.pdf", lambda: word(lease)),
        ("sea.docx", lambda: book(CHAPTERS, ["one", "two"])),
        ("lease", lambda: word(lease)),
        ("sea", lambda: book(CHAPTERS, ["one", "two"])),
    ],
)
def test_what_a_file_begins_with_counts_more_than_its_suffix(tmp_path, name, make):
    document, report = read(tmp_path, name, make())
    assert report.status == "ok"
    assert document.pages


def test_formats_are_none_for_other_archives_and_pictures():
    assert detect_format(b"PK\x03\x04", "a.zip", b"some/member.bin") is None
    assert detect_format(b"\x89PNG\r\n\x1a\n", "a.png") is None
    assert detect_format(b"\x7fELF\x02\x01\x01\0\0\0\0\0", "program") is None
    assert detect_format(b"The tag <html> starts a page", "a.md").name == "markdown"


@given(st.binary(max_size=60), st.sampled_from([".html", ".docx", ".epub", ".pdf"]))
def test_any_bytes_of_any_suffix_get_a_status(tmp_path_factory, data, suffix):
    document, report = read(tmp_path_factory.mktemp("any"), f"a{suffix}", data)
    assert (document is None) == (report.status not in {"ok", "partial"})


@pytest.mark.parametrize(
    "data",
    [PDF, labelled(typeset("one", "two", "three")), encrypted(PDF, ""), encrypted(PDF, "x"),
     scanned(2), without_pages(), b"%PDF-1.7\nnothing", typeset("first", "", "third")],
    ids=["plain", "labels", "no password", "password", "pictures", "no pages", "broken", "blank"],
)  # fmt: skip
def test_both_parsers_give_the_same(tmp_path, data):
    (first, one), (second, two) = (
        read(tmp_path, "a.pdf", data, ReadOptions(pdf=name)) for name in ("pypdf", "pdfium")
    )
    assert first == second
    assert (one.status, one.pages, one.remedy) == (two.status, two.pages, two.remedy)


def test_a_parser_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    import sys

    home = "pace_integrations.documents.formats"
    for name, data, module, library in [
        ("a.html", b"x", "html", "lxml"),
        ("a.docx", word(), "docx", "lxml"),
    ]:
        for loaded in list(sys.modules):
            if loaded.startswith(f"{home}.{module}") or loaded == f"{home}.archives":
                monkeypatch.delitem(sys.modules, loaded)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            _, report = read(tmp_path, name, data)
        assert report.status == "unsupported"
        assert "pace-integrations[documents]" in report.remedy


def test_a_corpus_mixes_kinds(tmp_path):
    (tmp_path / "a.pdf").write_bytes(PDF)
    (tmp_path / "b.docx").write_bytes(word(lease))
    (tmp_path / "c.epub").write_bytes(book(CHAPTERS, ["one"]))
    (tmp_path / "d.html").write_text("<p>Hello there</p>")
    corpus = Corpus.from_paths(tmp_path, options=PDFIUM)
    assert [d.title for d in corpus.documents] == ["Rental terms", "Lease", "Sea stories", "d.html"]


@pytest.mark.parametrize(
    "wrong",
    [lambda: ReadLimits(pages=0), lambda: ReadLimits(seconds=-1), lambda: ReadOptions(pdf="x")],
)
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_a_notebook_shows_what_objects_show_of_themselves(tmp_path) -> None:
    outputs = [
        {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>Low tide</b> at six"},
        {"text/plain": "<IPython.core.display.Math object>", "text/latex": "$x^2 + 1$"},
        {"text/plain": "<Figure object at 0x7f3c>", "application/vnd.plotly.v1+json": "{}"},
    ]
    shown = [{"output_type": "display_data", "data": data} for data in outputs]
    trace = ["\x1b[0;31mKeyError\x1b[0m  Traceback", "----> 3 tide['noon']", "KeyError: 'noon'"]
    shown.append(
        {"output_type": "error", "ename": "KeyError", "evalue": "'noon'", "traceback": trace}
    )
    cells = [
        {"cell_type": "code", "source": "show()", "outputs": shown},
        {"cell_type": "markdown", "source": "A map:", "attachments": {"map.png": {}}},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"nbformat": 4, "cells": cells}))
    document, report = read_file(tmp_path / "a.ipynb")
    text = document.pages[0].text
    assert all(said in text for said in ("Low tide at six", "$x^2 + 1$", "----> 3 tide['noon']"))
    assert "object" not in text
    assert text.count("KeyError: 'noon'") == 1
    assert report.warnings == (
        "outputs that need a program to show them, not read: 1",
        "pictures in cells, not read: 1",
    )


def test_headers_that_no_section_shows_are_named(tmp_path) -> None:
    (tmp_path / "a.docx").write_bytes(
        raw_word(paragraph("The ferry."), header1=paragraph("Draft 3"))
    )
    document, report = read_file(tmp_path / "a.docx")
    assert document.pages[0].text == "The ferry."
    assert report.warnings == ("headers and footers that no section shows, not read: 1",)
