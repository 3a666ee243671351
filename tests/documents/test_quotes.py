"""The quote of a page and the passage of a corpus that support an answer."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pace_integrations.documents import Quote, best_passage, best_quote
from pace_integrations.documents.quotes.sentences import LONGEST, split_sentences
from pace_integrations.documents.quotes.words import content_keys, word_keys

PAGE = """2. Rent and deposit
The monthly rent is 1,450 pounds. The security deposit is 4,350 pounds, i.e. three rents.
A separate key deposit of 75 pounds is paid for the four keys. Dr. Keller signs
for the landlord.

Country Capital
Austria Vienna
Germany Berlin"""

WORDS = st.sampled_from(["The", "rent", "is", "1,450", "due.", "Keys", "\n", "\n\n", "é", "x!"])
PROSE = st.one_of(st.text(), st.lists(WORDS, max_size=60).map(" ".join))


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


def test_a_page_is_cut_into_sentences_headings_and_rows():
    assert cut(PAGE) == [
        "2. Rent and deposit",
        "The monthly rent is 1,450 pounds.",
        "The security deposit is 4,350 pounds, i.e. three rents.",
        "A separate key deposit of 75 pounds is paid for the four keys.",
        "Dr. Keller signs\nfor the landlord.",
        "Country Capital",
        "Austria Vienna",
        "Germany Berlin",
    ]


def test_wrapped_prose_stays_together_and_its_headings_do_not():
    text = "Deposit\nThe deposit of one rent,\nwhich is paid at once\nand which is held at\n"
    text += "Severn Bank, is safe."
    assert cut(text)[0] == "Deposit"
    assert cut(text)[1].endswith("held at\nSevern Bank, is safe.")
    assert cut("It is due (see “Costs”). “Late” payments cost 5 percent! 合同。期限。") == [
        "It is due (see “Costs”).",
        "“Late” payments cost 5 percent!",
        "合同。",
        "期限。",
    ]


@given(PROSE)
def test_sentences_cover_all_that_is_not_blank_without_overlap(text):
    spans = split_sentences(text)
    assert all(0 < end - start <= LONGEST for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())


@pytest.mark.parametrize(
    ("answer", "question", "quote"),
    [
        ("1,450 pounds [1]", "What is the rent?", "The monthly rent is 1,450 pounds."),
        ("1450.00", "What is the rent?", "The monthly rent is 1,450 pounds."),
        ("It is 4,350 pounds.", "How high is the security deposit?", "The security deposit is"),
        ("75 pounds", "How high is the key deposit?", "A separate key deposit of 75"),
        ("Keller", "Who signs?", "Dr. Keller signs\nfor the landlord."),
        ("Four keys.", "How many keys are there?", "A separate key deposit"),
        ("berlin", "What is the capital of Germany?", "Germany Berlin"),
    ],
)
def test_the_quote_is_the_sentence_that_holds_the_answer(answer, question, quote):
    found = best_quote(PAGE, answer, question)
    assert found.text.startswith(quote)
    assert PAGE[found.start : found.end] == found.text
    assert found.score > 0


def test_the_question_decides_between_places_that_hold_the_answer():
    page = "The pump is covered for 24 months. The contract can be ended after 24 months."
    assert best_quote(page, "24 months", "When can the contract be ended?").text.startswith("The c")
    assert best_quote(page, "24 months", "How long is the pump covered?").text.startswith("The p")


def test_an_answer_of_two_sentences_is_quoted_whole():
    page = "Rain fell. Priya Nair came in May. Owen Clarke came in June. Nobody came in July."
    found = best_quote(page, "Priya Nair and Owen Clarke", "Who came?")
    assert found.text == "Priya Nair came in May. Owen Clarke came in June."
    assert found.score == 1.0


def test_the_score_is_the_share_of_the_answers_words():
    assert best_quote("The rent is 900 euros.", "900 euros", "").score == 1.0
    assert best_quote("The rent is 900 euros.", "900 pounds", "").score == 0.5
    assert best_quote("The rent is 900 euros.", "zebra", "rent?") == Quote(
        "The rent is 900 euros.", 0, 22, 0.0
    )
    assert best_quote("", "900", "rent?") == Quote("", 0, 0, 0.0)


@given(PROSE, PROSE, PROSE)
def test_a_quote_is_exactly_the_span_it_names(page, answer, question):
    quote = best_quote(page, answer, question)
    assert page[quote.start : quote.end] == quote.text
    assert 0.0 <= quote.score <= 1.0
    assert len(quote.text) <= LONGEST
    assert bool(quote.text) == bool(page.strip())


@given(st.lists(PROSE, max_size=6), PROSE, PROSE)
def test_a_passage_is_one_that_has_a_word_of_the_answer(passages, answer, question):
    found = best_passage(passages, answer, question)
    having = [i for i, text in enumerate(passages) if content_keys(answer) & word_keys(text)]
    if found is None:
        assert having == []
    else:
        index, quote = found
        assert index in having
        assert quote.score > 0
        assert passages[index][quote.start : quote.end] == quote.text


def test_the_passage_with_the_rare_words_wins_over_scattered_ones():
    passages = [
        "The period is long. The contract has 24 pages. The heat pump warranty is enclosed.",
        "The warranty period for the heat pump is 24 months.",
        "The warranty period for the compressor is 60 months.",
    ]
    found = best_passage(passages, "24 months", "How long is the warranty for the heat pump?")
    assert found[0] == 1
    assert found[1].text == passages[1]
    found = best_passage(passages, "60 months", "How long is the compressor's warranty?")
    assert found[0] == 2


def test_of_equal_passages_the_first_is_taken_and_no_match_is_none():
    assert best_passage(["The rent is 900.", "The rent is 900."], "900", "rent")[0] == 0
    assert best_passage(["The rent is 900."], "Zebra", "What is the rent?") is None
    assert best_passage([], "900", "rent") is None
    assert best_passage(["text"], "", "rent") is None


def test_words_are_compared_without_case_marks_and_plural():
    assert word_keys("Months’ MONTH month’s month's") == {"month"}
    assert content_keys("The answer is [3] 1,250.00, see [1, 2]") == {"1250", "see"}
    assert content_keys("It is.") == {"it", "is"}


def test_thousands_of_pages_are_searched_in_seconds():
    filler = "The tenant pays the rent of house number {} on day {} of the month. " * 25
    passages = [filler.format(*range(n, n + 50)) for n in range(2000)]
    passages[1500] += "The serial number is HP-48213."
    start = time.perf_counter()
    found = best_passage(passages, "HP-48213", "What is the serial number?")
    assert time.perf_counter() - start < 5
    assert found[0] == 1500
    assert found[1].text == "The serial number is HP-48213."
    assert len(split_sentences("x" * 300_000)) > 900
