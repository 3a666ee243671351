"""HTML, EPUB, mail, JSON, notebooks, tables, logs and markup: read whole, in sections."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from samples import archive, book, chapter

from pace_integrations.documents import Corpus, ReadLimits, ReadOptions
from pace_integrations.documents.ingest import read_file
from pace_integrations.documents.quotes.matching import best_quote
from pace_integrations.documents.quotes.words import content_keys, count_words, word_keys


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: bytes | str, name: str, options: ReadOptions | None = None):
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
        document, report = read_file(tmp_path / name, options)
        text = "\n".join(page.text for page in document.pages) if document else ""
        return text, report, document

    return read_bytes


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("It holds 10<sup>6</sup> liters.", "It holds 10^6 liters."),
        ("It costs 500<sup>1</sup> euros<sup>[2]</sup>.", "It costs 500 ^1 euros [2]."),
        ("CO<sub>2</sub>, 1<sup>st</sup>, x<sup>-1</sup>", "CO2, 1st, x^-1"),
        ("<ol start=7 type=a><li>Wait.<li><li>Go.</ol>", "g. Wait.\ni. Go."),
        ("<ol><li>One<ul><li>in</ul><li value=5>Five</ol>", "1. One\n- in\n5. Five"),
        ("<table><tr><td>Voss<td>7:40<td></tr><tr><td>Geilo<td><td>9:05</table>",
         "Voss | 7:40\nGeilo | | 9:05"),
        ("<table><tr><td>a<td><table><tr><td>b<td>c</table></table>", "a | b | c"),
        ("<img src=x alt='Open 9 to 17'><img src=y alt=''>", "[Image: Open 9 to 17]"),
        ("Name <input value='Ada'><input type=hidden value=secret><input type=checkbox checked>yes",
         "Name Ada [x] yes"),
        ("<select><option>River<option selected>Coast</select><textarea>At noon</textarea>",
         "Coast At noon"),
        ("<math><mi>x</mi><mo>=</mo><mn>2</mn></math> and <b>bold</b>", "x=2 and bold"),
        ("<p>one<nav>menu</nav><!-- no --> two", "one two"),
    ],
)  # fmt: skip
def test_a_page_reads_as_it_is_shown(read, body, wanted):
    text, report, _ = read(f"<html><body>{body}</body></html>", "a.html")
    assert (text, report.status) == (wanted, "ok")


def test_deep_nesting_is_read_to_the_bottom(read):
    deep = "<div>" * 600 + "The shop is closed." + "</div>" * 600
    text, report, _ = read(f"<html><body><p>The bell rings.</p>{deep}</body></html>", "a.html")
    assert text.split() == ["The", "bell", "rings.", "The", "shop", "is", "closed."]
    assert report.status == "ok"


def test_what_a_page_embeds_is_named(read):
    _, report, _ = read(
        "<html><body>Text<iframe src=x></iframe><img src=y></body></html>", "a.html"
    )
    assert report.reasons == (
        "embedded objects (iframe), not read: 1",
        "pictures without a description, not read: 1",
    )


def test_long_pages_are_cut_at_their_headings(read):
    prose = "".join(f"<p>Sentence {n} of the rules of the harbor, in full.</p>" for n in range(120))
    page = (
        f"<html><body><h1>Rules</h1>{prose}<h2>Fees</h2>{prose}<h2>Quay</h2>{prose}</body></html>"
    )
    text, report, document = read(page, "a.html")
    assert [page.section for page in document.pages][-1] == "Rules > Quay"
    assert {"Rules", "Rules > Fees", "Rules > Quay"} >= {page.section for page in document.pages}
    assert text.count("Sentence 7 of") == 3
    assert report.pages == len(document.pages) > 2


def test_printed_page_marks_of_a_book_become_labels(read):
    mark = '<span xmlns:e="http://www.idpf.org/2007/ops" e:type="pagebreak" title="{}"/>'
    first = chapter("Storm", f"{mark.format(17)}They left. {mark.format(18)}It rained.")
    data = book({"one": first, "two": chapter("Calm", "It cleared.")}, ["one", "two"])
    _, _, document = read(data, "a.epub")
    assert [(page.index, page.label, page.section) for page in document.pages] == [
        (1, "17", "Storm"),
        (2, "18", "Storm"),
        (3, "18", "Calm"),
    ]


MAIL = b"""From: Ada <ada@example.org>
To: jon@example.org
Subject: =?utf-8?q?F=C3=A4hre?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: multipart/alternative; boundary=A

--A
Content-Type: text/plain; charset=utf-8

The ferry leaves at six.
--A
Content-Type: text/html

<p>The ferry leaves at <b>six</b>.</p>
--A--
--B
Content-Type: text/csv
Content-Disposition: attachment; filename=stops.csv

Lunde,6:00
--B
Content-Type: application/zip
Content-Disposition: attachment; filename=maps.zip

PK
--B
Content-Type: message/rfc822

From: office@example.org
Subject: Fees

The fee is 45 euros.
--B--
"""


def test_a_message_is_read_with_all_that_is_in_it(read):
    text, report, document = read(MAIL, "a.eml")
    assert document.title == "Fähre"
    assert text.count("leaves at six") == 1
    for words in ("From: Ada <ada@example.org>", "Lunde | 6:00", "Subject: Fees", "45 euros"):
        assert words in text
    assert report.reasons == ("attached files were not read: maps.zip",)


def test_values_of_json_stand_with_their_paths(read):
    text, report, _ = read(
        json.dumps({"stops": [{"name": "Lunde", "at": 6.10}], "free": None}), "a.json"
    )
    assert text.split("\n") == ["stops[0].name: Lunde", "stops[0].at: 6.1", "free: null"]
    assert read('{"price": 1.10, "id": 007}', "b.json")[1].status == "partial"
    lines = '{"n": 1.50}\n{"n": 2}\n'
    assert read(lines, "a.jsonl")[0] == "[0].n: 1.50\n[1].n: 2"
    deep = "[" * 5000 + "1" + "]" * 5000
    assert read(deep, "deep.json")[1].status in {"ok", "partial"}
    assert report.status == "ok"


def test_cells_of_a_notebook_are_read_with_their_outputs(read):
    cells = [
        {"cell_type": "markdown", "source": ["# Ferry\n", "It leaves at six."]},
        {"cell_type": "code", "source": "print(6)", "outputs": [
            {"output_type": "stream", "text": ["6\n"]},
            {"output_type": "display_data", "data": {"image/png": "x"}}]},
    ]  # fmt: skip
    text, report, document = read(json.dumps({"nbformat": 4, "cells": cells}), "a.ipynb")
    assert text.split("\n\n")[1] == "In [2]:\nprint(6)\nOut [2]:\n6"
    assert (document.title, report.reasons) == (
        "Ferry",
        ("pictures among the outputs, not read: 1",),
    )


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.csv", 'city;year\n"Vo;ss";1883\n', "city | year\nVo;ss | 1883"),
        ("a.tsv", "city\tyear\nVoss\t1883\n", "city | year\nVoss | 1883"),
        ("a.csv", "1,2,3\n4,,6\n", "1 | 2 | 3\n4 | | 6"),
    ],
)
def test_tables_in_text_are_rows(read, name, text, wanted):
    assert read(text, name)[0] == wanted


@pytest.mark.parametrize(
    ("name", "text", "title", "section"),
    [
        ("a.md", "---\ntitle: Bees\n---\n# Harvest\n{}\n## Fees\n{}", "Bees", "Harvest > Fees"),
        ("a.rst", "Bees\n====\n{}\n\nFees\n----\n{}", "Bees", "Bees > Fees"),
        ("a.org", "#+title: Bees\n* Harvest\n{}\n** Fees :tag:\n{}", "Bees", "Harvest > Fees"),
        ("a.tex", "\\title{{Bees}}\n\\section{{Harvest}}\n{}\\subsection{{Fees}}\n{}", "Bees",
         "Harvest > Fees"),
    ],
)  # fmt: skip
def test_markup_is_cut_at_its_headings(read, name, text, title, section):
    prose = "The harbor opens at six in the morning.\n" * 170
    _, _, document = read(text.format(prose, prose), name)
    assert (document.title, document.pages[-1].section) == (title, section)


@pytest.mark.parametrize("name", ["LICENSE", "Makefile", "run.log", "main.rs", "data.unknown", "x"])
def test_any_text_is_read_whatever_its_name(read, name):
    assert read("The ferry leaves at six.\n", name)[0] == "The ferry leaves at six."


def test_a_long_log_is_read_in_bounded_pages_and_no_page_is_lost(read):
    lines = "".join(f"2025-01-01 event {n} of the night\n" for n in range(20_000))
    text, report, document = read(lines, "a.log")
    assert text.split() == lines.split()
    assert report.status == "ok"
    limited = ReadOptions(ReadLimits(pages=3))
    _, report, document = read(lines, "a.log", limited)
    assert (report.status, len(document.pages)) == ("partial", 3)


def test_a_huge_file_is_refused_before_it_is_parsed(read):
    options = ReadOptions(ReadLimits(expanded=10_000))
    for name in ("a.txt", "a.html", "a.json", "a.csv", "a.eml", "a.rtf", "a.ipynb"):
        _, report, _ = read("{\\rtf1 " + "word " * 5_000, name, options)
        assert report.status == "unsupported"
        assert "limit" in report.reasons[0]


def test_what_desktops_leave_in_folders_is_skipped_and_counted(tmp_path):
    for name in ["a.txt", "~$a.docx", "Thumbs.db", "._a.txt", "__MACOSX/b.txt", "p_files/c.css",
                 "p.html", "my_files/d.txt"]:  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("<p>words</p>")
    corpus = Corpus.from_paths(tmp_path)
    assert [Path(d.source).name for d in corpus.documents] == ["a.txt", "d.txt", "p.html"]
    assert corpus.report.skipped == corpus.report.to_dict()["skipped"] == 5


def test_scripts_without_spaces_have_words():
    assert word_keys("家賃は毎月") == {"家賃", "賃は", "は毎", "毎月"}
    assert word_keys("ค่าเช่า 900") & {"900", "ค่"}
    assert content_keys("The rent is 900 euros") == {"rent", "900", "euro"}
    assert count_words("家賃は毎月支払われます。") == 6
    assert count_words("two words") == 2
    page = "門は朝七時に開きます。家賃は月九百ユーロで、毎月三日に支払います。犬は外にいます。"
    found = best_quote(page, "家賃は九百ユーロです", "家賃はいくらですか")
    assert found.text.startswith("家賃は月九百ユーロ")
    assert found.score > 0.4


def test_cells_and_words_outside_of_a_table_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<!doctype html>Rates<tr>first <td>second<td> third<table><td><td>alpha</td>aside</td>"
        "<tr>beta<td>gamma</table>"
    )
    document, _ = read_file(tmp_path / "a.html")
    words = document.pages[0].text.replace("|", " ").split()
    assert sorted(words) == sorted(
        ["Rates", "first", "second", "third", "alpha", "aside", "beta", "gamma"]
    )


def test_what_stands_behind_the_end_of_a_page_is_read(read):
    page = "<html><head><title>Ferry</title></head><body><p>At six.</p></body></html>"
    text, _, document = read(
        f"{page}\n<!-- added --><script>x</script><p>Not on Sundays.", "a.html"
    )
    assert (text, document.title) == ("At six.\n\nNot on Sundays.", "Ferry")
    text, _, _ = read(f"{page}{page.replace('six', 'nine')}", "b.html")
    assert text.split() == ["At", "six.", "At", "nine."]


def test_a_book_that_names_places_in_its_chapters_is_whole(read):
    chapters = {name: chapter(name, f"At {name}.") for name in ("six", "nine")}
    with zipfile.ZipFile(BytesIO(book(chapters, ["six", "six", "map"]))) as file:
        members = {name: file.read(name).decode() for name in file.namelist()}
    package = members["OPS/book.opf"].replace("text/six.xhtml", "text/six.xhtml#start")
    package = package.replace(
        "</manifest>", '<item id="map" href="map.svg" media-type="image/svg+xml"/></manifest>'
    )
    text, report, _ = read(archive({**members, "OPS/book.opf": package}), "a.epub")
    assert (text, report.status) == ("six\n\nAt six.", "ok")
    assert report.warnings == (
        "chapters outside of the book's order, not read: 1",
        "pages that are pictures, not read: 1",
    )
