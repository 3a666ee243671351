"""Real PDF files of many programs, and the example documents of this repository."""

from __future__ import annotations

import json
import logging
import runpy
from pathlib import Path

import pytest

from pace_integrations.documents import Corpus, best_passage

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "../shared/data/pdfs"
EXAMPLES = ROOT / "examples/documents"

# Skipped where the shared folder is not laid beside the checkout; a file missing in it fails.
samples = pytest.mark.skipif(
    not SAMPLES.parents[1].is_dir(), reason=f"no sample PDFs at {SAMPLES.parents[1]}"
)

PICTURES = {
    "cmyk-image.pdf",
    "grayscale-image.pdf",
    "imagemagick-ASCII85Decode.pdf",
    "imagemagick-CCITTFaxDecode.pdf",
    "imagemagick-lzw.pdf",
}


@pytest.fixture(scope="module")
def read() -> Corpus:
    return Corpus.from_paths([SAMPLES / "sample-files/*.pdf", SAMPLES / "us-gov/*.pdf"])


@samples
def test_every_sample_has_the_status_it_deserves(read, capfd):
    found = {Path(file.path).name: file for file in read.report.files}
    assert len(found) == 31
    expected = dict.fromkeys(found, "ok") | dict.fromkeys(PICTURES, "no_text_layer")
    expected["libreoffice-writer-password.pdf"] = "encrypted"
    expected["imagemagick-images.pdf"] = "partial"
    assert {name: file.status for name, file in found.items()} == expected
    assert all(file.seconds < 10 for file in found.values())
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("pypdf").propagate


@samples
def test_the_pages_are_as_many_as_the_samples_list_says(read):
    entries = json.loads((SAMPLES / "sample-files/files.json").read_text())["data"]
    listed = {Path(entry["path"]).name: entry for entry in entries}
    for file in read.report.files:
        entry = listed.get(Path(file.path).name)
        if entry is not None:
            assert (file.status == "encrypted") == entry["encrypted"]
            assert file.pages == (0 if entry["encrypted"] else entry["pages"])
        if file.status == "ok":
            assert file.pages == file.pages_with_text


@samples
@pytest.mark.parametrize(
    ("name", "page", "words"),
    [
        ("multicolumn.pdf", 1, "Lorem ipsum dolor sit amet, consectetuer adipiscing elit."),
        ("multicolumn.pdf", 3, "\nCzech Republic 10.7 78,866 Prague Czech\n"),
        ("crazyones-pdfa.pdf", 1, "The misfits. The rebels."),
        ("habibi.pdf", 1, "حَبيبي habibi"),
        ("pdflatex-outline.pdf", 1, "\n2 Bar 2\n3 Baz 2\n"),
        ("google-doc-document.pdf", 1, "Beautiful is better than ugly."),
        ("google-doc-document.pdf", 1, "\nContinent Asia Europe\n"),
        ("minimal-document.pdf", 1, "no sea takimata sanctus est"),
        ("scotus-transcript-p1.pdf", 1, "came on for oral argument before the Supreme Court of"),
        # Its fonts name an encoding and embed another; its rows are drawn from the right.
        ("senate-expenditures.pdf", 1, "\nBAIN, J MATTHEW DISTRICT DIRECTOR 37,499.96\n"),
        ("annotated_pdf.pdf", 1, "Some text.\nLine 1\nLine 2\nNot highlighted"),
        ("nics-background-checks-2015-11.pdf", 1, "\nAlaska 209 3,062 3,209 191 184 0 9 3 0"),
    ],
)
def test_sample_pages_read_well(read, name, page, words):
    document = next(d for d in read.documents if Path(d.source).name == name)
    assert words in next(p.text for p in document.pages if p.index == page)


@samples
def test_titles_of_the_samples_are_titles(read):
    titles = {Path(d.source).name: d.title for d in read.documents}
    assert titles["annotated_pdf.pdf"] == "Annotated PDF"
    assert titles["scotus-transcript-p1.pdf"] == "scotus-transcript-p1.pdf"
    assert titles["inline-image.pdf"] == "inline-image.pdf"


@pytest.fixture(scope="module")
def examples() -> Corpus:
    return Corpus.from_paths(EXAMPLES)


def test_the_example_documents_are_read_whole(examples):
    assert [(d.title, len(d.pages)) for d in examples.documents] == [
        ("Heat pump warranty", 3),
        ("Rental contract", 3),
        ("site-meeting.txt", 1),
        ("Studio handbook", 1),
    ]
    assert examples.report.problems == ()
    assert 500 < sum(len(page.text.split()) for _, page in examples.pages()) < 900


@pytest.mark.parametrize(
    ("question", "answer", "source", "page"),
    [
        ("How long is the warranty period for the heat pump?", "24 months", "heat", 2),
        ("How long is the warranty period for the compressor?", "60 months", "heat", 2),
        ("How high is the security deposit?", "4,350 pounds", "rental", 2),
        ("What does the key deposit cost?", "75 pounds", "rental", 2),
        ("When does the tenancy begin?", "1 April 2025", "rental", 1),
        ("What is the notice period for the landlord?", "nine months", "rental", 3),
        ("How much does the annual service cost?", "185 pounds", "heat", 3),
        ("Until when is the printer leased?", "31 August 2027", "studio", 1),
    ],
)
def test_each_example_fact_stands_once_and_is_found(examples, question, answer, source, page):
    pages = list(examples.pages())
    assert sum(answer in text.text for _, text in pages) == 1
    index, quote = best_passage([text.text for _, text in pages], answer, question)
    assert Path(pages[index][0].source).name.startswith(source)
    assert pages[index][1].index == page
    assert answer in quote.text


def test_the_example_documents_are_those_of_their_recipe(examples, tmp_path):
    make = runpy.run_path(str(ROOT / "recipes/make_example_documents.py"))["main"]
    make(tmp_path)
    made = Corpus.from_paths(tmp_path)
    assert [d.pages for d in made.documents] == [d.pages for d in examples.documents]
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
