"""Constructs of many formats, one small file each: read in full, read right, or named."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from pdfs import typeset
from samples import archive, open_document, paragraph, relations, sheets, slides, word

from pace_integrations.documents.ingest import read_file


def run(text: str, look: str = "") -> str:
    return f'<w:r><w:rPr>{look}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def line(inner: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def item(text: str, number: int, depth: int = 0) -> str:
    marks = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>'
    return paragraph(text, marks)


def row(*cells: tuple[str, str]) -> str:
    made = (f"<w:tc><w:tcPr>{look}</w:tcPr>{paragraph(text)}</w:tc>" for text, look in cells)
    return f"<w:tr>{''.join(made)}</w:tr>"


def level(depth: int, kind: str, text: str, start: int = 1, more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{depth}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


LISTS = (
    f'<w:abstractNum w:abstractNumId="0">{level(0, "upperRoman", "Article %1.")}'
    f"{level(1, 'decimalZero', 'Section %1.%2', 1, '<w:isLgl/>')}</w:abstractNum>"
    '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    f'<w:num w:numId="2"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0">'
    f"{level(0, 'upperLetter', '%1)', 4)}</w:lvlOverride></w:num>"
)
STYLES = (
    '<w:style w:styleId="Gone"><w:rPr><w:vanish/></w:rPr></w:style>'
    '<w:style w:styleId="Up"><w:rPr><w:vertAlign w:val="superscript"/></w:rPr></w:style>'
)
SYMBOL = '<w:r><w:sym w:font="Symbol" w:char="F0{}"/></w:r>'
LIMIT = "<m:e><m:r><m:t>lim</m:t></m:r></m:e><m:lim><m:r><m:t>n</m:t></m:r></m:lim>"
MATH = f"<m:limLow>{LIMIT}</m:limLow>"
WIDE = '<w:gridSpan w:val="2"/>'
MARK = '<w:r><w:pict><v:shape xmlns:v="v"><v:textpath string="DRAFT"/></v:shape></w:pict></w:r>'

WORD = {
    "legal numbers": (
        word(item("Fees", 1) + item("Late", 1, 1), numbering=LISTS),
        "Article I. Fees\nSection 1.01 Late",
    ),
    "a level of its own": (word(item("Key", 2), numbering=LISTS), "D) Key"),
    "columns that a cell covers": (
        word(
            f"<w:tbl>{row(('Name', ''), ('Half', WIDE), ('All', ''))}"
            f"{row(('Ada', ''), ('1', ''), ('2', ''), ('3', ''))}</w:tbl>"
        ),
        "Name | Half | | All\nAda | 1 | 2 | 3",
    ),
    "symbols": (word(line(SYMBOL.format("61") + run(" = 5 ") + SYMBOL.format("B1"))), "α = 5 ±"),
    "looks by styles": (
        word(
            line(run("secret"), '<w:pStyle w:val="Gone"/>')
            + line(run("10") + run("6", '<w:rStyle w:val="Up"/>')),
            styles=STYLES,
        ),
        "10^6",
    ),
    "raised by position": (word(line(run("10") + run("6", '<w:position w:val="8"/>'))), "10^6"),
    "limits": (word(line(f"<m:oMath>{MATH}</m:oMath>")), "lim_n"),
    "a watermark": (word(line(run("Text") + MARK)), "Text\nDRAFT"),
    "a comment that hangs nowhere": (
        word(paragraph("Text"), comments=f'<w:comment w:id="4">{paragraph("Loose.")}</w:comment>'),
        "Text\n[Comment: Loose.]",
    ),
}


def text_shape(inner: str) -> str:
    return f"<p:sp><p:txBody>{inner}</p:txBody></p:sp>"


def numbered(text: str) -> str:
    mark = '<a:pPr><a:buAutoNum type="alphaLcParenR" startAt="3"/></a:pPr>'
    return f"<a:p>{mark}<a:r><a:t>{text}</a:t></a:r></a:p>"


POWER = '<a:r><a:t>10</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>6</a:t></a:r>'
EQUATION = (
    '<mc:AlternateContent xmlns:mc="mc" xmlns:m="m"><mc:Choice><a:m><m:oMath><m:sSup><m:e><m:r>'
    "<m:t>r</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath></a:m>"
    "</mc:Choice></mc:AlternateContent>"
)
SLIDES = {
    "numbers of items": (
        slides(text_shape(numbered("Open.") + numbered("Shut."))),
        "c) Open.\nd) Shut.",
    ),
    "powers": (slides(text_shape(f"<a:p>{POWER}</a:p>")), "10^6"),
    "equations": (slides(text_shape(f"<a:p>{EQUATION}</a:p>")), "r^2"),
}

NUMBERS = (
    '<text:list-style style:name="L"><text:list-level-style-number text:level="1" '
    'style:num-format="1" style:num-suffix="."/><text:list-level-style-number text:level="2" '
    'style:num-format="1" style:num-suffix="." text:display-levels="2"/></text:list-style>'
)
LOOKS = (
    '<style:style style:name="H"><style:text-properties text:display="none"/></style:style>'
    '<style:style style:name="U"><style:text-properties style:text-position="33% 58%"/>'
    "</style:style>"
)


def entry(text: str, more: str = "", **start: int) -> str:
    given = "".join(f' text:start-value="{value}"' for value in start.values())
    return f"<text:list-item{given}><text:p>{text}</text:p>{more}</text:list-item>"


def items(inner: str, more: str = "") -> str:
    return f'<text:list text:style-name="L"{more}>{inner}</text:list>'


OPEN = {
    "levels and counts that go on": (
        open_document(
            items(entry("One", items(entry("In"))))
            + "<text:p>Between</text:p>"
            + items(entry("Two") + entry("Seven", at=7), ' text:continue-numbering="true"'),
            styles=NUMBERS,
        ),
        "1. One\n1.1. In\nBetween\n2. Two\n7. Seven",
    ),
    "hidden text": (
        open_document(
            'Seen<text:section text:display="none"><text:p>a</text:p></text:section><text:p>Open '
            '<text:span text:style-name="H">b</text:span>10<text:span text:style-name="U">6'
            "</text:span></text:p>",
            styles=LOOKS,
        ),
        "Open 10^6",
    ),
    "notes by their own marks": (
        open_document(
            '<text:p>Fee<text:note text:note-class="endnote"><text:note-citation>i'
            "</text:note-citation><text:note-body><text:p>A day.</text:p></text:note-body>"
            "</text:note></text:p>"
        ),
        "Fee^i\n[Endnote i: A day.]",
    ),
    "values of a form": (
        open_document(
            '<office:forms><form:text xmlns:form="f" form:name="who" form:current-value="Ada"/>'
            "</office:forms>"
        ),
        "[Field who: Ada]",
    ),
    "equations": (
        open_document(
            '<text:p>Take <draw:frame><draw:object xmlns:x="x" x:href="./O"/></draw:frame>'
            "</text:p>",
            **{"O/content.xml": "<math><msup><mi>x</mi><mn>2</mn></msup></math>"},
        ),
        "Take x^2",
    ),
}


def page(inner: str) -> bytes:
    return f"<!doctype html><body>{inner}</body>".encode()


MARKUP = {
    "cells over rows and columns": (
        page(
            "<table><tr><th>Day</th><th>Stop</th><th>At</th></tr><tr><td rowspan=2>Mon</td>"
            "<td>Voss</td><td>7:40</td></tr><tr><td>Geilo</td><td>9:05</td></tr>"
            "<tr><td colspan=2>Sum</td><td>12</td></tr></table>"
        ),
        "Day | Stop | At\nMon | Voss | 7:40\n| Geilo | 9:05\nSum | | 12",
    ),
    "readings": (page("<ruby>東<rp>(</rp><rt>とう</rt><rp>)</rp></ruby>"), "東(とう)"),
    "equations": (
        page(
            "<math><mfrac><mi>a</mi><mn>2</mn></mfrac><mo>+</mo><msup><mn>10</mn><mn>6</mn></msup>"
            "</math>"
        ),
        "a/2+10^6",
    ),
    "lists backwards": (page("<ol reversed><li>a</li><li>b</li></ol>"), "2. a\n1. b"),
    "words in attributes": (
        page("<map><area alt='North gate'></map><iframe srcdoc='&lt;p&gt;Inner'></iframe>"),
        "[Image: North gate]\nInner",
    ),
}  # fmt: skip


def rich(body: str) -> bytes:
    fonts = r"{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}{\f2\fcharset2 Symbol;}}"
    return (r"{\rtf1\ansi\ansicpg1252" + fonts + body + "}").encode("latin-1")


ROW = r"\trowd\cellx1\cellx2\cellx3\pard\intbl "
RICH = {
    "notes": (
        rich(r"500{\super\chftn}{\footnote{\super\chftn} A day.} paid\par"),
        "500 ^1 paid\n[Footnote 1: A day.]",
    ),
    "headers and footers": (
        rich(r"{\header Ref 55-22\par}{\footer Quay Road\par}Text\par"),
        "Ref 55-22\nText\n\nQuay Road",
    ),
    "powers": (rich(r"10{\super 6} litres\par"), "10^6 litres"),
    "numbers of items": (rich(r"{\listtext\f0 2.\tab}Wait.\par"), "2. Wait."),
    "text boxes": (
        rich(r"{\shp{\*\shpinst{\sp{\sn a}{\sv 1}}{\shptxt In a box.\par}}}Text\par"),
        "Text\nIn a box.",
    ),
    "comments": (
        rich(r"Fee{\*\atnauthor Jo}\chatn{\*\annotation Check.}\par"),
        "Fee\n[Comment by Jo: Check.]",
    ),
    "blank cells": (
        rich(ROW + r"Stop\cell Day\cell At\cell\row " + ROW + r"Voss\cell\cell 7:40\cell\row"),
        "Stop | Day | At\nVoss | | 7:40",
    ),
    "encodings": (
        rich(r"\f1\'cf\'f0\f0  \u8364? {\uc2\u1078\'c6\'c6}{\f2\'61}\par"),
        "Пр € жα",
    ),
    "fields": (
        rich(r"{\field{\*\fldinst HYPERLINK}{\fldrslt the page}} {\field{\*\fldinst{"
             r"FORMCHECKBOX{\*\formfield\fftype1\ffres1}}}}Yes\par"),
        "the page [x] Yes",
    ),
}  # fmt: skip
HIDDEN = {
    "a.rtf": (
        rich(r"Seen{\v gone}{\deleted old}{\pict 0a}\par"),
        ["hidden", "deleted", "pictures"],
    ),
    "a.html": (page("<nav>Home</nav><p hidden>gone<p>Seen"), ["navigation", "hidden"]),
    "a.docx": (
        word(
            line(run("Seen") + '<w:r><w:sym w:font="Icons" w:char="F0AB"/></w:r>')
            + f"<w:tbl>{row(('gone', '<w:cellDel/>'))}</w:tbl>"
        ),
        ["symbols of unknown fonts", "deleted"],
    ),
    "a.pptx": (
        slides(
            "<p:sp><p:nvSpPr><p:cNvPr hidden='1'/></p:nvSpPr><p:txBody><a:p><a:r><a:t>gone</a:t>"
            f"</a:r></a:p></p:txBody></p:sp>{text_shape('<a:p><a:r><a:t>Seen</a:t></a:r></a:p>')}"
        ),
        ["hidden shapes"],
    ),
    "a.odt": (
        open_document(
            '<text:p>Seen<text:span text:style-name="H">gone</text:span></text:p>', styles=LOOKS
        ),
        ["hidden"],
    ),
}  # fmt: skip

CASES = [
    pytest.param(f"a.{suffix}", data, wanted, id=f"{suffix}: {what}")
    for suffix, table in {
        "docx": WORD, "pptx": SLIDES, "odt": OPEN, "html": MARKUP, "rtf": RICH
    }.items()
    for what, (data, wanted) in table.items()
]  # fmt: skip


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(name: str, data: bytes):
        (tmp_path / name).write_bytes(data)
        document, report = read_file(tmp_path / name)
        pages = document.pages if document else ()
        return [page.text for page in pages], report, pages

    return read_bytes


@pytest.mark.parametrize(("name", "data", "wanted"), CASES)
def test_a_construct_is_read_as_its_program_shows_it(read, name, data, wanted):
    texts, report, _ = read(name, data)
    assert ("\n".join(texts).replace("\n\n", "\n"), report.status) == (
        wanted.replace("\n\n", "\n"),
        "ok",
    )


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_not_shown_is_not_read_and_named(read, name):
    data, words = HIDDEN[name]
    texts, report, _ = read(name, data)
    assert "".join(texts) == "Seen"
    assert all(any(word in reason for reason in report.reasons) for word in words)


def test_a_table_that_is_cut_keeps_its_header(read):
    cells = [[f"Harbor number {n} of the northern coast", n, n + 1] for n in range(400)]
    head = ["Region", 2019, 2020]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * 3, *cells]]
    body = "".join("<tr>" + "".join(f"<td>{c}" for c in row) for row in [head, *cells])
    for name, data in {
        "a.md": ("# Boats\n\n" + "\n".join(lines)).encode(),
        "a.html": page(f"<p>Boats</p><table>{body}</table>"),
        "a.csv": "\n".join(";".join(map(str, row)) for row in [head, *cells]).encode(),
        "a.xlsx": sheets(Boats=[head, *cells]),
    }.items():
        texts, _, _ = read(name, data)
        assert len(texts) > 2
        assert all(text.count("Region | 2019 | 2020") == 1 for text in texts), name


MAIL = b"""From: ada@example.org
Subject: Bill
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=A

--A
Content-Type: multipart/alternative; boundary=B

--B
Content-Type: text/plain

Please see the HTML version.
--B
Content-Type: text/html

<p>The ferry costs 45 euros for every car that wants to go to the other side on Friday.
--B
Content-Type: text/calendar

LOCATION:Quay 9
--B--
--A
Content-Type: application/pdf; name=bill.pdf
Content-Disposition: attachment
Content-Transfer-Encoding: base64

%b
--A--
"""


def test_a_message_says_all_that_its_parts_and_attached_documents_say(read):
    pdf = base64.encodebytes(typeset("The bill is 1,234.50 euros."))
    texts, report, pages = read("a.eml", MAIL % pdf)
    for words in ("45 euros", "Quay 9", "1,234.50"):
        assert words in "\n".join(texts)
    assert "HTML version" not in texts[0]
    assert (report.status, pages[-1].section) == ("ok", "attached bill.pdf > page 1")
    one = "From {0}@x Mon Jan 1 2024\nFrom: {0}@x\n\n{1}.\n\n"
    box = (one.format("a", "One") + one.format("b", "Two")).encode()
    assert read("a.mbox", box)[0] == ["From: a@x\n\nOne.\n\nFrom: b@x\n\nTwo."]


def test_outputs_of_a_notebook_may_be_pages_and_formulas(read):
    outputs = [
        {"output_type": "display_data", "data": {"text/html": "<table><tr><td>k<td>v</table>"}},
        {"output_type": "execute_result", "data": {"text/latex": "$x^2$"}},
    ]
    cells = [{"cell_type": "code", "source": "f()", "outputs": outputs}]
    texts, _, _ = read("a.ipynb", json.dumps({"nbformat": 4, "cells": cells}).encode())
    assert texts == ["In [1]:\nf()\nOut [1]:\nk | v\n$x^2$"]


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        ("a.csv", b"city,year\rVoss,1883\r", "city | year\nVoss | 1883"),
        ("a.csv", b"sep=;\ncity;year\nVoss;1883\n", "city | year\nVoss | 1883"),
        ("a.json", b'{"a": 1.10, "b": {}, "a": 2}', "a: 1.10\nb: {}\na: 2"),
    ],
)
def test_nothing_is_lost_of_tables_and_values(read, name, data, wanted):
    assert read(name, data)[0] == [wanted]


def test_a_binary_workbook_is_not_called_damaged(read):
    _, report, _ = read("a.xlsb", archive({"xl/workbook.bin": "x"}))
    assert report.status == "unsupported"
    assert ".xlsx" in report.remedy


def workbook(rows: str, **more: str) -> bytes:
    """A workbook of raw XML, with strings that cells share and styles."""
    main = "xl/workbook.xml"
    strings = (
        "<sst><si><t>Area</t></si><si><r><t>10</t></r><r><rPr><vertAlign val='superscript'/></rPr>"
        "<t>6</t></r><rPh><t>x</t></rPh></si></sst>"
    )
    styles = (
        '<styleSheet><numFmts><numFmt numFmtId="164" formatCode="00000"/></numFmts><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/><xf numFmtId="46"/></cellXfs>'
        "</styleSheet>"
    )
    sheet = f"<worksheet><dimension ref='A1'/><sheetData>{rows}</sheetData>{more.get('after', '')}"
    book = '<workbook xmlns:r="r"><sheets><sheet name="S" r:id="worksheet1"/></sheets></workbook>'
    targets = {"worksheet1": "sheet.xml", "sharedStrings1": "s.xml", "styles1": "t.xml"}
    return archive(
        relations("", officeDocument=main)
        | relations(main, **targets)
        | {main: book, "xl/s.xml": strings, "xl/t.xml": styles}
        | {"xl/sheet.xml": f"{sheet}</worksheet>"}
    )


def test_cells_are_read_beyond_what_the_sheet_says_of_itself(read):
    rows = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>'
        '<row r="3000" hidden="1"><c r="A3000" s="1"><v>123</v></c><c r="B3000" s="2"><v>45691</v>'
        '</c><c r="C3000" s="3"><v>1.0625</v></c><c r="D3000"><f>A1</f></c></row>'
    )
    after = "<headerFooter><oddHeader>&amp;LRef 55-22&amp;RPage &amp;P</oddHeader></headerFooter>"
    texts, report, _ = read("a.xlsx", workbook(rows, after=after))
    assert texts == [
        "[Sheet S]\nArea | | 10^6\n00123 | 2025-02-03 | 25:30\n[Header: Ref 55-22 Page]"
    ]
    assert report.reasons == ("formulas without a stored value, not read: 1",)
    assert "hidden rows or columns, read: 1" in report.warnings


STRUCK_PAGE = (
    "<p>Price: <s>99</s> <s>euros</s> 79 euros, <del>paid</del>"
    '<span style="text-decoration: line-through">once</span>.'
)
STRUCK_RTF = r"{\rtf1 Price: {\strike 99 }{\strike euros} 79 euros, \strike paidonce\plain .\par}"
LINE = '<style:style style:name="T1"><style:text-properties style:text-line-through-style="solid"/>'


def test_what_is_struck_out_is_marked(read):
    wanted = "Price: ~~99 euros~~ 79 euros, ~~paidonce~~."
    assert read("a.html", STRUCK_PAGE.encode())[0] == [wanted]
    assert read("a.rtf", STRUCK_RTF.encode())[0] == [wanted]
    look = "<w:strike/>"
    runs = run("Price: ") + run("99 ", look) + run("euros", "<w:dstrike/>") + run(" 79 euros, ")
    runs += run("paid", look) + run("once", look) + run(".", '<w:strike w:val="0"/>')
    assert read("a.docx", word(line(runs)))[0] == [wanted]
    span = '<text:span text:style-name="T1">{}</text:span>'.format
    body = f"<text:p>Price: {span('99')} {span('euros')} 79 euros, {span('paid')}{span('once')}."
    data = open_document(f"{body}</text:p>", styles=f"{LINE}</style:style>")
    assert read("a.odt", data)[0] == [wanted]
    part = '<a:r><a:rPr strike="sngStrike"/><a:t>{}</a:t></a:r>'.format
    plain = "<a:r><a:t>{}</a:t></a:r>".format
    title = '<p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr>'
    text = f"{plain('Price: ')}{part('99')}{part(' euros')}{plain(' 79 euros')}"
    slide = f"<p:sp>{title}<p:txBody><a:p>{text}</a:p></p:txBody></p:sp>"
    texts, _, pages = read("a.pptx", slides(slide))
    assert texts == ["Price: ~~99 euros~~ 79 euros"]
    assert pages[0].section == f"slide 1: {texts[0]}"


def test_cells_that_are_struck_out_are_marked(read):
    main = "xl/workbook.xml"
    styles = (
        '<styleSheet><fonts><font/><font><strike/></font></fonts><cellXfs><xf fontId="0"/>'
        '<xf fontId="1" numFmtId="9"/></cellXfs></styleSheet>'
    )
    rich = "<is><r><t>now </t></r><r><rPr><strike/></rPr><t>40</t></r><r><t> 35</t></r></is>"
    cells = f'<c s="1"><v>0.5</v></c><c t="inlineStr">{rich}</c><c><v>7</v></c>'
    book = '<workbook xmlns:r="r"><sheets><sheet name="S" r:id="worksheet1"/></sheets></workbook>'
    members = {main: book, "xl/t.xml": styles}
    members["xl/s.xml"] = f"<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>"
    links = relations("", officeDocument=main)
    links |= relations(main, worksheet1="s.xml", styles1="t.xml")
    assert read("a.xlsx", archive(links | members))[0] == ["[Sheet S]\n~~50%~~ | now ~~40~~ 35 | 7"]
