"""What stands beside the text and is easily passed over in silence: read, or named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lxml import etree
from samples import archive, open_document, relations, shape, slides, word

from pace_integrations.documents.formats.charts import chart_lines
from pace_integrations.documents.ingest import read_file

STYLES = (
    '<office:document-styles xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:presentation="urn:oasis:names:tc:opendocument:xmlns:presentation:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:master-styles>{}'
    "</office:master-styles></office:document-styles>"
)


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: bytes, suffix: str):
        (tmp_path / f"a{suffix}").write_bytes(data)
        document, report = read_file(tmp_path / f"a{suffix}")
        assert document is not None
        return "\n".join(page.text for page in document.pages), report.warnings

    return read_bytes


def test_what_lies_on_a_sheet_and_in_no_cell_is_read(read):
    rows = (
        "<table:table-row><table:table-cell><text:p>Pier</text:p></table:table-cell>"
        "<table:table-cell><text:p>Depth</text:p></table:table-cell></table:table-row>"
        '<table:table-row table:visibility="filter"><table:table-cell><text:p>West</text:p>'
        "</table:table-cell><table:table-cell><text:p>7</text:p></table:table-cell>"
        "</table:table-row>"
    )
    box = "<draw:frame><draw:text-box><text:p>Dredged in May</text:p></draw:text-box></draw:frame>"
    sheet = '<table:table table:name="{}">{}</table:table>'
    body = sheet.format("Piers", f"<table:shapes>{box}</table:shapes>{rows}")
    body += sheet.format("Plan", f"<table:shapes>{box.replace('May', 'June')}</table:shapes>")
    margins = (
        "<style:master-page><style:header><text:p><text:sheet-name>???</text:sheet-name></text:p>"
        "</style:header><style:footer><style:region-left><text:p>Harbor <text:span>office"
        "</text:span>, <text:title>no title</text:title>tel. 5514</text:p></style:region-left>"
        "<style:region-right><text:p>Page <text:page-number>1</text:page-number></text:p>"
        "</style:region-right></style:footer></style:master-page>"
    )
    data = open_document(body, kind="spreadsheet", **{"styles.xml": STYLES.format(margins)})
    text, warnings = read(data, ".ods")
    assert text == (
        "[Sheet Piers]\nPier | Depth\nWest | 7\nDredged in May\n[Footer: Harbor office, tel. 5514]"
        "\n[Sheet Plan]\nDredged in June"
    )
    assert warnings == ("hidden rows or columns, read: 1",)


def test_fixed_words_of_a_master_are_read_once(read):
    box = "<draw:frame{}><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
    master = '<style:master-page style:name="{}">' + box.format(
        ' presentation:class="title"', "Click"
    )
    masters = master.format("A") + box.format("", "Lunde Harbor") + "</style:master-page>"
    masters += master.format("B") + box.format("", "Draft") + "</style:master-page>"
    page = '<draw:page xmlns:draw="{0}" draw:master-page-name="A">{1}</draw:page>'
    space = "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
    body = "".join(page.format(space, box.format("", words)) for words in ("Tides", "Berths"))
    data = open_document(body, kind="presentation", **{"styles.xml": STYLES.format(masters)})
    text, _ = read(data, ".odp")
    assert text.split("\n") == ["Tides", "Lunde Harbor", "Berths"]


def test_lines_and_circles_are_no_embedded_objects(read):
    space = 'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"'
    shapes = "<draw:circle/><draw:line/><draw:frame><draw:{}/></draw:frame>"
    body = f"<draw:page {space}>{{}}<draw:ellipse><text:p>Tides</text:p></draw:ellipse></draw:page>"
    for kind, told in (("image", "pictures without a description"), ("plugin", "embedded objects")):
        data = open_document(body.format(shapes.format(kind)), kind="presentation")
        assert read(data, ".odp") == ("Tides", (f"{told}, not read: 1",))


@pytest.mark.parametrize("name", ["Basic/Standard/Module1.xml", "Scripts/python/fees.py"])
def test_macros_of_an_open_document_are_named(read, name):
    lists = {"Basic/script-lc.xml": "<a/>", "Basic/Standard/script-lb.xml": "<a/>"}
    body = "<text:p>Fees</text:p>"
    assert read(open_document(body, **lists), ".odt") == ("Fees", ())
    assert read(open_document(body, **lists, **{name: "Sub A"}), ".odt")[1] == (
        "macros, not read: 1",
    )


NEWER = """<cx:chartSpace xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex"
 xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><cx:chartData><cx:data id="3">
<cx:strDim type="cat"><cx:f>S!A2:A4</cx:f><cx:lvl ptCount="3"><cx:pt idx="0">Fees</cx:pt>
<cx:pt idx="1">Wages</cx:pt><cx:pt idx="2">Rest</cx:pt></cx:lvl></cx:strDim><cx:numDim type="val">
<cx:f>S!B2:B4</cx:f><cx:lvl ptCount="3" formatCode="0%"><cx:pt idx="0">0.7</cx:pt>
<cx:pt idx="2">0.1</cx:pt></cx:lvl></cx:numDim></cx:data></cx:chartData><cx:chart><cx:title><cx:tx>
<cx:rich><a:p><a:r><a:t>Where it goes</a:t></a:r></a:p></cx:rich></cx:tx></cx:title><cx:plotArea>
<cx:plotAreaRegion><cx:series layoutId="waterfall"><cx:tx><cx:txData><cx:f>S!B1</cx:f><cx:v>2026
</cx:v></cx:txData></cx:tx><cx:dataId val="3"/></cx:series></cx:plotAreaRegion></cx:plotArea>
</cx:chart></cx:chartSpace>"""


def test_waterfalls_and_funnels_keep_their_values():
    found = [" ".join(line.split()) for line in chart_lines(etree.fromstring(NEWER))]
    assert found == ["[Chart: Where it goes]", "[Series 2026 : Fees 70%, Wages, Rest 10%]"]


def test_what_stands_for_a_newer_chart_is_not_read_with_it(read):
    main, sheet, drawing = "xl/workbook.xml", "xl/worksheets/one.xml", "xl/drawings/one.xml"
    key = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    sp = (
        '<xdr:sp><xdr:txBody><a:p xmlns:a="x"><a:r><a:t>This chart is not available</a:t></a:r>'
        "</a:p></xdr:txBody></xdr:sp>"
    )
    choice = '<cx:chart xmlns:cx="c" r:id="chartEx1"/>'
    ink = '<x:contentPart xmlns:x="i" r:id="ink1"/>'
    both = "<mc:Choice>{}</mc:Choice><mc:Fallback>{}</mc:Fallback>"
    both = f"<mc:AlternateContent>{both}</mc:AlternateContent>"
    members = {
        main: f'<workbook {key}><sheets><sheet name="C" r:id="worksheet1"/></sheets></workbook>',
        sheet: "<worksheet><sheetData><row><c><v>4</v></c></row></sheetData></worksheet>",
        drawing: f'<xdr:wsDr xmlns:xdr="d" xmlns:mc="m" {key}>{both.format(choice, sp)}'
        f"{both.format(ink, '<xdr:pic/>')}</xdr:wsDr>",
        "xl/charts/ex.xml": NEWER,
        **relations("", officeDocument=main),
        **relations(main, worksheet1="worksheets/one.xml"),
        **relations(sheet, drawing1="../drawings/one.xml"),
        **relations(drawing, chartEx1="../charts/ex.xml"),
    }
    text, warnings = read(archive(members), ".xlsx")
    assert "[Chart: Where it goes]" in text
    assert "not available" not in text
    assert warnings == ("handwriting, not read: 1",)


def test_handwriting_and_hidden_pictures_are_named(read):
    ink = '<mc:AlternateContent xmlns:mc="m"><mc:Choice><p:contentPart r:id="x"/>'
    ink += "</mc:Choice><mc:Fallback><p:pic/></mc:Fallback></mc:AlternateContent>"
    unseen = '<p:{0}><p:nvPr><p:cNvPr hidden="1"/></p:nvPr>{1}</p:{0}>'
    tree = shape("Tides") + ink + unseen.format("pic", "") + unseen.format("grpSp", shape("Draft"))
    assert read(slides(tree), ".pptx") == (
        "Tides",
        ("handwriting, not read: 1", "hidden shapes, not read: 2"),
    )
    drawing = "<w:drawing><wp:inline><w:contentPart/></wp:inline></w:drawing>"
    body = f"<w:p><w:r><w:t>Signed</w:t>{drawing}</w:r></w:p>"
    assert read(word(body), ".docx") == ("Signed", ("handwriting, not read: 1",))


HEAD = "From: a@x.org\nMIME-Version: 1.0\nContent-Type: "


def test_what_a_page_in_a_message_leaves_out_is_named(read):
    page = (
        '<img src="count.gif" width="1" height="1"><div style="display:none">Preview</div>'
        '<p>Six <img src="a.png"></p>'
    )
    text, warnings = read(f"{HEAD}text/html\n\n{page}".encode(), ".eml")
    assert text.endswith("Six")
    assert warnings == (
        "hidden text, not read: 1",
        "pictures without a description, not read: 1",
    )
    text, warnings = read(HEAD.encode() + b"text/plain\n\nKj\xf8p fisk p\xe5 kaia.", ".eml")
    assert text.endswith("Kjøp fisk på kaia.")
    assert warnings == ("texts in a guessed encoding, read: 1",)


def test_files_of_an_alternative_that_is_not_read_are_named(read):
    parts = (
        "--A\nContent-Type: text/plain\n\nThe plan of the pier is below.\n"
        "--A\nContent-Type: multipart/related; boundary=B\n\n"
        "--B\nContent-Type: text/html\n\n<p>The plan of the pier is below.</p>\n"
        '--B\nContent-Type: image/png; name="plan.png"\n\nx\n--B--\n--A--\n'
    )
    text, warnings = read(f"{HEAD}multipart/alternative; boundary=A\n\n{parts}".encode(), ".eml")
    assert text.count("The plan of the pier") == 1
    assert warnings == ("attached files were not read: plan.png",)


def test_what_outputs_of_a_notebook_leave_out_is_named(read):
    data = [
        {"text/html": "<table><tr><td>Tide<td>7</table><iframe src='a'></iframe>"},
        {"application/javascript": "draw()"},
        {"image/png": "aaaa", "text/plain": "<Figure size 640x480>"},
    ]
    outputs = [{"output_type": "display_data", "data": entry} for entry in data]
    cells = [{"cell_type": "code", "source": ["show()"], "outputs": outputs}]
    text, warnings = read(json.dumps({"nbformat": 4, "cells": cells}).encode(), ".ipynb")
    assert "Tide | 7" in text
    assert sorted(warnings) == [
        "embedded objects (iframe), not read: 1",
        "outputs that need a program to show them, not read: 1",
        "pictures among the outputs, not read: 1",
    ]
