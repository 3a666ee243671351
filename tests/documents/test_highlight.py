"""Quotes on PDF pages: exact citations of planted sentences, rectangles, highlighted copies."""

from __future__ import annotations

import random
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pdfs import encrypted, labelled, typeset
from pypdf import PdfReader
from reportlab.pdfgen.canvas import Canvas

from pace_integrations.documents import Corpus, Evidence, ReadOptions, highlight
from pace_integrations.documents.quotes.alignment import find_words, occurrence_of
from pace_integrations.errors import DocumentError
from pace_integrations.session.citations import Passage, resolve_citations

TYPESET = Path(__file__).parents[1] / "typeset"
WHO = [
    "Baker",
    "Carter",
    "Draper",
    "Fisher",
    "Gardener",
    "Hunter",
    "Mason",
    "Miller",
    "Potter",
    "Weaver",
]
WHERE = ["attic", "barn", "cellar", "garden", "hall"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Five labelled files of ten pages; each page holds one planted sentence."""
    folder, chance, facts = tmp_path_factory.mktemp("planted"), random.Random(3), []
    for book, where in enumerate(WHERE):
        pages = []
        for number, who in enumerate(WHO):
            fact = f"The {who} keeps {chance.randint(100, 999)} brass keys in the {where}."
            filler = [
                f"Nothing of note happened on day {chance.randint(1, 10**6)} of the year."
                for _ in range(20)
            ]
            filler.insert(chance.randrange(20), fact)
            pages.append("\n".join(filler))
            facts.append(
                (f"{book}.pdf", number + 1, fact, f"How many keys has the {who} in the {where}?")
            )
        (folder / f"{book}.pdf").write_bytes(labelled(typeset(*pages)))
    return folder, facts


@pytest.mark.parametrize("engine", ["pypdf", "pdfium"])
def test_fifty_planted_sentences_are_cited_exactly(planted, engine):
    folder, facts = planted
    corpus = Corpus.from_paths(folder, options=ReadOptions(pdf=engine))
    passages = [Passage(n, d, p) for n, (d, p) in enumerate(corpus.pages(), 1)]
    assert len(facts) == len(passages) == 50
    for number, (name, page, fact, question) in enumerate(facts, 1):
        for said in (f"{fact} [{number}]", fact):  # cited by the model, and found by the words
            citation = resolve_citations(said, question, passages)[0]
            text = passages[number - 1].page.text
            assert Path(citation.source).name == name
            assert citation.page == page
            assert citation.page_label == ("iii", "iv", *(f"A-{n}" for n in range(3, 11)))[page - 1]
            assert citation.quote == fact
            assert text[slice(*citation.span)] == fact


def inked(path: Path, page: int, box, *, grow: float = 0.0) -> float:
    """Share of a rectangle's pixels that are of the highlight's colour."""
    document = pypdfium2.PdfDocument(path)
    try:
        sheet = document[page - 1]
        image = sheet.render(scale=2, may_draw_forms=True, draw_annots=True).to_numpy()
        height = sheet.get_height()
    finally:
        document.close()
    left, bottom, right, top = (2 * v for v in (box[0], height - box[1], box[2], height - box[3]))
    part = image[int(top) : int(bottom), int(left) : int(right), :3].astype(int)
    blue, green, red = part[..., 0], part[..., 1], part[..., 2]
    return float(((red > 200) & (green > 180) & (blue < 160)).mean())


def words_in(path: Path, page: int, boxes) -> str:
    document = pypdfium2.PdfDocument(path)
    try:
        text = document[page - 1].get_textpage()
        return " ".join(text.get_text_bounded(*box) for box in boxes)
    finally:
        document.close()


def test_planted_sentences_are_highlighted_over_their_words(planted, tmp_path):
    folder, facts = planted
    for name in {fact[0] for fact in facts}:
        mine = [fact for fact in facts if fact[0] == name]
        evidence = [Evidence(page, fact, note=question) for _, page, fact, question in mine]
        found = highlight(folder / name, evidence, tmp_path / name)
        marked = PdfReader(tmp_path / name)
        assert len(marked.pages) == 10
        for (_, page, fact, question), boxes in zip(mine, found, strict=True):
            assert len(boxes) == 1
            assert words_in(folder / name, page, boxes).strip() == fact
            assert inked(tmp_path / name, page, boxes[0]) > 0.5
            assert inked(folder / name, page, boxes[0]) == 0.0
            (note,) = (item.get_object() for item in marked.pages[page - 1]["/Annots"])
            assert note["/Subtype"] == "/Highlight"
            assert note["/Contents"] == question


@pytest.mark.parametrize("name", ["latex", "libreoffice", "chromium", "chromium-columns"])
def test_quotes_of_typeset_files_are_found_over_their_lines(tmp_path, name):
    document = Corpus.from_paths(TYPESET / f"{name}.pdf").documents[0]
    page = document.pages[0]
    start = page.text.index("The harbour officer")
    end = page.text.index(". ", start + 60) + 1
    quote = page.text[start:end]
    place = occurrence_of(page.text, start, end)
    (boxes,) = highlight(
        document.source, [Evidence(page.index, quote, place)], tmp_path / "out.pdf"
    )
    assert 1 <= len(boxes) <= 5
    letters = "".join(c for c in quote if c.isalnum())
    assert letters in "".join(c for c in words_in(document.source, 1, boxes) if c.isalnum())
    assert all(inked(tmp_path / "out.pdf", page.index, box) > 0.4 for box in boxes)
    assert "/OpenAction" in PdfReader(tmp_path / "out.pdf").root_object


def test_a_line_of_a_page_on_its_side_is_one_rectangle(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=(300, 300))
    canvas.setPageRotation(90)
    canvas.rotate(90)
    for number, words in enumerate(("The gate opens at 7:30.", "The oak stands near the pond.")):
        canvas.drawString(40, -60 - 16 * number, words)
    canvas.save()
    evidence = [Evidence(1, "oak stands near the pond")]
    ((box,),) = highlight(tmp_path / "a.pdf", evidence, tmp_path / "out.pdf")
    assert words_in(tmp_path / "a.pdf", 1, [box]).strip() == "oak stands near the pond"
    assert box[3] - box[1] > 5 * (box[2] - box[0])


def test_what_is_not_there_is_not_marked_and_damage_is_named(planted, tmp_path):
    folder, _ = planted
    evidence = [
        Evidence(1, "A sentence about wombats and their habits."),
        Evidence(99, "The Baker"),
    ]
    assert highlight(folder / "0.pdf", evidence, tmp_path / "out.pdf") == [[], []]
    assert len(PdfReader(tmp_path / "out.pdf").pages) == 10
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    with pytest.raises(DocumentError, match=r"broken\.pdf"):
        highlight(tmp_path / "broken.pdf", evidence)
    with pytest.raises(DocumentError, match="FileNotFoundError"):
        highlight(folder / "0.pdf", evidence, tmp_path / "no" / "out.pdf")


def test_files_with_a_password_are_highlighted_with_it(tmp_path):
    (tmp_path / "locked.pdf").write_bytes(encrypted(typeset("Pets are allowed."), "secret"))
    evidence = [Evidence(1, "Pets are allowed")]
    options = ReadOptions(password="secret")
    assert highlight(tmp_path / "locked.pdf", evidence, tmp_path / "out.pdf", options=options)[0]
    assert not PdfReader(tmp_path / "out.pdf").is_encrypted
    with pytest.raises(DocumentError):
        highlight(tmp_path / "locked.pdf", evidence)


def test_words_are_found_across_spelling_and_line_ends():
    text = "The o\ufb03ce re-\nopens at 9.  The OFFICE\u00a0reopens at 9."
    assert text[slice(*find_words(text, "office reopens at 9"))] == "o\ufb03ce re-\nopens at 9"
    assert text[slice(*find_words(text, "office reopens at 9", 1))] == "OFFICE\u00a0reopens at 9"
    assert text[slice(*find_words(text, "office reopens at 9", 7))] == "OFFICE\u00a0reopens at 9"
    assert text[slice(*find_words(text, "The oflice reopens"))] == "The o\ufb03ce re-\nopens"
    assert find_words(text, "wombats sleep at noon") is None
    assert find_words(text, "...") is None
    assert find_words("", "a") is None


@given(st.text("ab c", min_size=1, max_size=30), st.data())
def test_a_span_is_found_again_by_its_words_and_its_occurrence(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    words = text[start:end]
    if words.strip() != words:
        return
    assert find_words(text, words, occurrence_of(text, start, end)) == (start, end)
