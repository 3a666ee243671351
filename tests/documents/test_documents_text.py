"""Plain text and Markdown: encodings, pages, titles."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pace_integrations.documents import ReadLimits, ReadOptions
from pace_integrations.documents.formats.encodings import decode_text
from pace_integrations.documents.formats.text import markdown_title, split_pages
from pace_integrations.documents.ingest import read_file


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("Größe €".encode(), "Größe €"),
        (codecs.BOM_UTF8 + "Größe".encode(), "Größe"),
        (codecs.BOM_UTF16_LE + "Größe 😀".encode("utf-16-le"), "Größe 😀"),
        (codecs.BOM_UTF16_BE + "Größe".encode("utf-16-be"), "Größe"),
        (codecs.BOM_UTF32_LE + "Größe".encode("utf-32-le"), "Größe"),
        (codecs.BOM_UTF32_BE + "Größe".encode("utf-32-be"), "Größe"),
        (b"", ""),
    ],
)
def test_declared_encodings_are_decoded_whole(data, text):
    assert decode_text(data) == (text, None)


def test_other_bytes_are_decoded_with_a_word_about_it_or_not_at_all():
    western = decode_text("Die Größe der Räume beträgt zwölf Meter.".encode("cp1252"))
    assert western.text == "Die Größe der Räume beträgt zwölf Meter."
    assert "Windows-1252" in western.problem
    damaged = decode_text("Größe und Länge und Höhe".encode() + b"\xff.")
    assert damaged.text == "Größe und Länge und Höhe\ufffd."
    assert "1 characters" in damaged.problem
    assert decode_text(bytes(range(256)) * 4).text is None
    unmarked = decode_text("The bell rings at six.".encode("utf-16-le"))
    assert unmarked.text == "The bell rings at six."
    assert "UTF-16" in unmarked.problem
    assert decode_text(b"\0\1\2\3" * 40).text is None
    cut = decode_text(codecs.BOM_UTF16_LE + b"a\0b")
    assert (cut.text, cut.problem) == ("a\ufffd", "1 characters are no valid utf-16-le")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Le café coûte 3 €, déjà réglé à l’été."),
        ("cp1252", "El señor Muñoz pagó mañana la última parte."),
        ("cp1250", "Zażółć gęślą jaźń, umowa najmu została zawarta w dniu pierwszego września."),
        ("cp1251", "Договор аренды помещения"),
        ("koi8_r", "Договор аренды помещения заключён первого сентября."),
        ("cp1253", "Η σύμβαση μίσθωσης υπογράφηκε την πρώτη Σεπτεμβρίου."),
        ("shift_jis", "契約は九月一日に締結されました。家賃は毎月支払われます。"),
        ("gb18030", "本合同于九月一日签订。租金每月支付。"),
        ("euc_kr", "계약은 구월 일일에 체결되었습니다. 임대료는 매월 지급됩니다."),
    ],
)
def test_encodings_that_are_not_declared_are_detected(encoding, text):
    decoded = decode_text(text.encode(encoding))
    assert decoded.text == text
    assert "was read as" in decoded.problem


@given(st.binary())
@example(codecs.BOM_UTF16_LE + b"\x00\xd8")
@example(codecs.BOM_UTF32_LE + b"\xff")
def test_any_bytes_are_read_or_refused_and_never_raise(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "a.md"
    path.write_bytes(data)
    document, report = read_file(path)
    assert (document is None) == (report.status not in {"ok", "partial"})
    assert (report.remedy is None) == (report.status == "ok")
    for page in document.pages if document else ():
        page.text.encode("utf-8")


@given(st.text())
def test_text_that_is_saved_as_utf_8_is_read_as_it_was(text):
    pages, _ = split_pages(text)
    read, problem = decode_text(text.encode())
    if not text.startswith("\ufeff") and text.count("\0") <= 0.01 * len(text.encode()):
        assert problem is None
        assert split_pages(read)[0] == pages


def test_form_feeds_split_pages_and_blank_ones_keep_their_number():
    pages, count = split_pages("one\r\nline\f\f  three\x00\n\f")
    assert [(page.index, page.label, page.text) for page in pages] == [
        (1, None, "one\nline"),
        (3, None, "  three"),
    ]
    assert count == 3
    assert split_pages(" \f\n ") == ((), 1)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Heading\ntext", "Heading"),
        ("text\n\n## The *second* [level](http://x) ##\n", "The second level"),
        ("Title\n=====\ntext", "Title"),
        ("---\nkey: value\n---\n# After front matter", "After front matter"),
        ("```\n# not a heading\n```\n# Heading", "Heading"),
        ("#hashtag and no heading", None),
        ("# \ntext", None),
        ("", None),
    ],
)
def test_the_first_heading_is_the_title(text, title):
    assert markdown_title(text) == title


def test_titles_are_headings_for_markdown_and_names_otherwise(tmp_path):
    for name, title in [("a.md", "Heading"), ("a.txt", "a.txt"), ("a.rst", "a.rst")]:
        (tmp_path / name).write_text("# Heading\n\ntext")
        assert read_file(tmp_path / name)[0].title == title


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"text", "ok"),
        ("Räume".encode("cp1252") + b" and more words", "partial"),
        (b"\x00\x01\x02", "corrupt"),
        (b" \n", "empty"),
        (b"", "empty"),
    ],
)
def test_every_text_file_has_a_status(tmp_path, data, status):
    (tmp_path / "a.txt").write_bytes(data)
    document, report = read_file(tmp_path / "a.txt")
    assert report.status == status
    assert (document is None) == (status in {"corrupt", "empty"})
    assert (report.remedy is None) == (status == "ok")


def test_names_that_are_no_utf_8_become_readable_titles(tmp_path):
    path = tmp_path / "r\udce4ume.txt"
    path.write_text("text")
    assert read_file(path)[0].title == "r\ufffdume.txt"


def test_a_file_over_the_limit_is_not_loaded(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 3000)
    options = ReadOptions(ReadLimits(size=2048))
    report = read_file(tmp_path / "a.txt", options)[1]
    assert report.status == "unsupported"
    assert "limit" in report.warnings[0]
