"""Time over text grows like the text, at 10 and 100 times the length, in readers and searches."""

from __future__ import annotations

import io
import json
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pdfs import typeset

from pace_integrations.documents import Corpus, NothingReadError, ReadOptions
from pace_integrations.documents.quotes.matching import best_passage, best_quote
from pace_integrations.session.citations import Passage, resolve_citations

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="what hangs is ended by a timer"
)
HERE = ReadOptions(workers=0)
SIZE = 1_500  # bytes at 1x
SLACK = 3.0  # times what a linear reader may take
SECONDS = 8.0  # of one text at 100x, on a busy machine


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def grows_linearly(
    work: Callable[[str], object], unit: str, begin: str = "", end: str = ""
) -> None:
    """Check the time of a text of repeated units at 1x, 10x and 100x, on a machine however busy."""
    times = []
    for factor in (1, 10, 100):
        text = begin + unit * (factor * SIZE // len(unit)) + end
        start = time.process_time()
        with limit(SECONDS):
            work(text)
        times.append(time.process_time() - start)
    # Short times are noise; a quadratic reader takes 100 times as long for 10 times the text.
    assert times[2] < SLACK * 10 * max(times[1], 0.05), times


ATTACKS = {
    "comments": ("", "<!---->", "\nhello"),
    "open comments": ("", "<!-- ", ""),
    "spaces": ("# a", " ", "b\n"),
    "blank lines": ("a", "\n", "b"),
    "one word": ("", "a", "-\nb"),
    "dots": ("", ".", "b"),
    "quotes": (". ", '"', "b"),
    "brackets": ("", "[", "]("),
    "braces": ("", "{", "}"),
    "titles": ("", "\\title[", "]{a}"),
    "sections": ("", "\\section[", "]{a}\n"),
    "fences": ("", "```a\n", ""),
    "two fences": ("", "~~~a\n```b\n", ""),
    "front matter": ("---\n", "title: a \n", "b"),
    "hashes": ("", "# a #", "\n"),
    "stars": ("", "* a", " :b:\n"),
    "underlines": ("a\n", "=", "x\n"),
    "digits": ("", "1", " x"),
    "numbers": ("", "1.", " x"),
    "tags": ("", "<b>", "x"),
    "open tags": ("", "<meta ", ">"),
    "entities": ("", "&amp", ";"),
    "tables": ("", "| ", "\n"),
    "hyphens": ("", "a-\n", "b"),
    "headers": ("", "a: b\n", "\nc"),
    "commas": ("", '",', "\n"),
    "escapes": ("", "\x1b[1", "m"),
    "surrogates": ("", "\ud83d", ""),
    "groups": ("{\\rtf1 ", "{\\b ", "}"),
    "ideographs": ("", "文。", ""),
}
SUFFIXES = [
    ".txt",
    ".md",
    ".rst",
    ".tex",
    ".org",
    ".adoc",
    ".html",
    ".csv",
    ".json",
    ".eml",
    ".rtf",
]


def read_here(path: Path) -> None:
    with suppress(NothingReadError):
        Corpus.from_paths(path, options=HERE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reading_a_text_takes_linear_time(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"

    def read(text: str) -> None:
        file.write_text(text, encoding="utf-8", errors="replace")
        read_here(file)

    for name, (begin, unit, end) in ATTACKS.items():
        try:
            grows_linearly(read, unit, begin, end)
        except (AssertionError, TimeoutError) as error:
            pytest.fail(f"{suffix}, {name}: {error}")


def make_docx(text: str) -> bytes:
    kept = "".join(c for c in text if c.isprintable() or c in "\n\t")
    words = kept.replace("&", "&amp;").replace("<", "&lt;").replace("\ud83d", "")
    body = f"<w:p><w:r><w:t xml:space='preserve'>{words}</w:t></w:r></w:p>"
    return zipped(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
            'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-'
            'package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="'
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
            '"/></Types>',
            "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
            'relationships"><Relationship Id="r" Type="http://schemas.openxmlformats.org/'
            'officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
            "word/document.xml": '<w:document xmlns:w="http://schemas.openxmlformats.org/'
            f'wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>',
        }
    )


def make_epub(text: str) -> bytes:
    kept = "".join(c for c in text if c.isprintable() or c in "\n\t").replace("\ud83d", "")
    words = kept.replace("&", "&amp;").replace("<", "&lt;")
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:'
            'container"><rootfiles><rootfile full-path="a.opf"/></rootfiles></container>',
            "a.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest>'
            '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="a"/></spine></package>',
            "a.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>{words}</p></body></html>',
        }
    )


def zipped(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def make_notebook(text: str) -> bytes:
    cells = [{"cell_type": "markdown", "source": text, "metadata": {}}]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def make_pdf(text: str) -> bytes:
    words = "".join(c if 32 <= ord(c) < 127 else " " for c in text)
    return typeset(*(words[i : i + 3000] for i in range(0, len(words), 3000)))


MAKERS = {".docx": make_docx, ".epub": make_epub, ".ipynb": make_notebook, ".pdf": make_pdf}


@pytest.mark.parametrize("suffix", MAKERS)
@pytest.mark.parametrize("name", ["spaces", "one word", "dots", "brackets", "hyphens", "numbers"])
def test_reading_a_container_takes_linear_time(tmp_path: Path, suffix: str, name: str) -> None:
    file, (begin, unit, end) = tmp_path / f"a{suffix}", ATTACKS[name]

    def read(text: str) -> None:
        file.write_bytes(MAKERS[suffix](text))
        read_here(file)

    grows_linearly(read, unit, begin, end)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_searching_a_quote_takes_linear_time(attack: tuple[str, str, str]) -> None:
    begin, unit, end = attack
    answer, question = "The gate opens at 7:30 [1].", "When does the gate open?"
    grows_linearly(lambda text: best_quote(text, answer, question), unit, begin, end)
    grows_linearly(lambda text: best_passage([text, answer], answer, question), unit, begin, end)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_resolving_the_marks_of_an_answer_takes_linear_time(attack: tuple[str, str, str]) -> None:
    """An answer may be as odd as a document: a model wrote it."""
    begin, unit, end = attack
    (document,) = Corpus.from_texts({"oak": "The gate opens at 7:30."}).documents
    passages = [Passage(1, document, document.pages[0])]
    grows_linearly(lambda text: resolve_citations(text, "When?", passages), unit, begin, end)
