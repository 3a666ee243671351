"""An equation reads the same in every markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import word

from pace_integrations.documents.ingest import read_file

# By name: OMML (Word), MathML (web pages, OpenDocument), and how it reads.
EQUATIONS = {
    "fraction": (
        "<m:f><m:num>{a+b}</m:num><m:den>{2}</m:den></m:f>",
        "<mfrac><mrow>{a}{+}{b}</mrow>{2}</mfrac>",
        "(a+b)/2",
    ),
    "power": (
        "<m:sSup><m:e>{x}</m:e><m:sup>{n+1}</m:sup></m:sSup>",
        "<msup>{x}<mrow>{n}{+}{1}</mrow></msup>",
        "x^(n+1)",
    ),
    "index": ("<m:sSub><m:e>{x}</m:e><m:sub>{12}</m:sub></m:sSub>", "<msub>{x}{12}</msub>", "x_12"),
    "both": (
        "<m:sSubSup><m:e>{x}</m:e><m:sub>{i}</m:sub><m:sup>{2}</m:sup></m:sSubSup>",
        "<msubsup>{x}{i}{2}</msubsup>",
        "x_i^2",
    ),
    "prime": ("<m:sSup><m:e>{f}</m:e><m:sup>{′}</m:sup></m:sSup>", "<msup>{f}{′}</msup>", "f′"),
    "root": ("<m:rad><m:e>{y}</m:e></m:rad>", "<msqrt>{y}</msqrt>", "sqrt(y)"),
    "cube root": (
        "<m:rad><m:deg>{3}</m:deg><m:e>{y}</m:e></m:rad>",
        "<mroot>{y}{3}</mroot>",
        "root3(y)",
    ),
    "sum": (
        '<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{i}</m:sub><m:sup>{∞}</m:sup>'
        "<m:e/></m:nary>",
        "<munderover>{∑}{i}{∞}</munderover>",
        "∑_i^∞",
    ),
    "sum without limits": (
        '<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub/><m:sup/><m:e/></m:nary>',
        "<mrow>{∑}</mrow>",
        "∑",
    ),
}


def mark(markup: str, before: str, after: str) -> str:
    return markup.replace("{", before).replace("}", after)


@pytest.mark.parametrize("name", EQUATIONS)
def test_an_equation_reads_alike_in_word_and_on_the_web(name: str, tmp_path: Path) -> None:
    omml, mathml, reads = EQUATIONS[name]
    document, page = tmp_path / "a.docx", tmp_path / "a.html"
    inner = mark(omml, "<m:r><m:t>", "</m:t></m:r>")
    document.write_bytes(word(f"<w:p><m:oMath>{inner}</m:oMath></w:p>"))
    page.write_text(f"<p>so</p><math>{mark(mathml, '<mi>', '</mi>')}</math>", encoding="utf-8")
    assert reads in text(document).split()
    assert reads in text(page).split()


def text(path: Path) -> str:
    read, _ = read_file(path)
    assert read is not None
    return "\n".join(page.text for page in read.pages)
