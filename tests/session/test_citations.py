"""From ``[n]`` in an answer to a page that exists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pace_integrations.documents import Document, Page
from pace_integrations.model.prompts import UNANSWERABLE
from pace_integrations.session.citations import Passage, find_evidence, resolve_citations

TEXTS = [
    "The lease begins on 1 May. The rent is 900 euros a month.",
    "The deposit is 1,800 euros. It is paid back within six weeks.",
    "Pets are allowed. The garden is shared with the neighbours.",
]
DOCUMENT = Document(
    id="d1",
    title="Lease",
    pages=tuple(Page(i + 3, f"A-{i}", text) for i, text in enumerate(TEXTS)),
    sha256="0" * 64,
    source="lease.pdf",
)
PASSAGES = [Passage(i + 1, DOCUMENT, page) for i, page in enumerate(DOCUMENT.pages)]


def test_a_mark_resolves_to_page_label_and_quote() -> None:
    (citation,) = resolve_citations("1,800 euros [2]", "How much is the deposit?", PASSAGES)
    assert (citation.page, citation.page_label, citation.passage) == (4, "A-1", 2)
    assert (citation.document, citation.source, citation.method) == ("Lease", "lease.pdf", "cited")
    assert citation.quote == "The deposit is 1,800 euros."
    start, end = citation.span
    assert TEXTS[1][start:end] == citation.quote
    assert citation.score == 1.0


def test_several_marks_are_kept_in_order_and_once() -> None:
    cited = resolve_citations("Pets [3], rent [1, 3] and more [1]", "?", PASSAGES)
    assert [citation.passage for citation in cited] == [3, 1]


@pytest.mark.parametrize("text", ["six weeks [9]", "six weeks [0]", "six weeks"])
def test_without_a_usable_mark_the_best_match_is_offered_and_said_to_be_one(text: str) -> None:
    (citation,) = resolve_citations(text, "When is the deposit paid back?", PASSAGES)
    assert (citation.passage, citation.method) == (2, "matched")
    assert "paid back within six weeks" in citation.quote


def test_a_page_without_the_words_is_not_taken_at_its_word() -> None:
    matched, cited = resolve_citations("1,800 euros [3]", "How much is the deposit?", PASSAGES)
    assert (matched.passage, matched.method, matched.score) == (2, "matched", 1.0)
    assert (cited.passage, cited.method, cited.score) == (3, "cited", 0.0)
    matched, cited = resolve_citations("1,800 euros [1]", "How much is the deposit?", PASSAGES)
    assert (matched.passage, cited.passage, cited.score) == (2, 1, 0.5)


def test_a_page_with_most_of_the_words_is_kept_alone() -> None:
    (citation,) = resolve_citations("about 1,800 euros altogether [2]", "How much is it?", PASSAGES)
    assert (citation.passage, citation.method) == (2, "cited")


@pytest.mark.parametrize(
    "text", ["", " [2]", UNANSWERABLE, f"{UNANSWERABLE} [1]", "zebra xylophone"]
)
def test_where_nothing_is_claimed_nothing_is_cited(text: str) -> None:
    assert resolve_citations(text, "?", PASSAGES) == ()


def test_without_passages_there_is_no_citation() -> None:
    assert resolve_citations("six weeks [1]", "?", []) == ()


@given(st.text(max_size=50), st.text(max_size=30))
def test_no_answer_makes_up_a_page(text: str, question: str) -> None:
    for citation in resolve_citations(text, question, PASSAGES):
        page = next(p for p in DOCUMENT.pages if p.index == citation.page)
        assert page.text[slice(*citation.span)] == citation.quote


def test_evidence_is_what_fits_the_question_whatever_was_answered() -> None:
    first, *others = find_evidence("When is the deposit paid back?", PASSAGES)
    assert first.quote.endswith("It is paid back within six weeks.")
    assert (first.passage, first.page, first.method) == (2, 4, "matched")
    start, end = first.span
    assert TEXTS[1][start:end] == first.quote
    assert all(citation.score <= first.score for citation in others)
    assert find_evidence("Who painted xyzzy?", PASSAGES) == ()
    assert find_evidence("When is the deposit paid back?", ()) == ()
