"""Pages into passages: nothing lost, no row divided, headings repeated."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pace_integrations.library.passages import SIZE, split_page

SENTENCE = "The tenant pays the heating costs of the rooms every quarter in advance. "
TABLE = ["Part | Length | Price", *(f"Bolt {i} | {i} mm | {i}.50 EUR" for i in range(1, 60))]


def test_a_short_page_is_one_passage_as_it_is() -> None:
    (passage,) = split_page("Short page.\n\nWith two paragraphs.", "Chapter 1")
    assert passage.text == "Short page.\n\nWith two paragraphs."
    assert (passage.start, passage.end) == (0, len(passage.text))


def test_none_leaves_a_page_whole() -> None:
    assert len(split_page(SENTENCE * 40, size=None)) == 1


def test_prose_is_divided_between_sentences_and_overlaps_by_about_a_quarter() -> None:
    text = " ".join(f"Sentence number {i} says something about item {i}." for i in range(80))
    passages = split_page(text)
    assert len(passages) > 5
    for before, after in pairwise(passages):
        shared = before.end - after.start
        assert 0 < shared <= SIZE / 4
        assert text[after.start :].startswith("Sentence number")
        assert len(after.text) <= SIZE * 1.2


def test_no_row_is_divided_and_every_part_of_a_table_begins_with_its_first_row() -> None:
    page = "Prices of bolts\n" + "\n".join(TABLE)
    passages = split_page(page)
    assert len(passages) > 3
    for passage in passages:
        lines = passage.text.splitlines()
        assert all(line in TABLE or line == "Prices of bolts" for line in lines)
        assert lines[:2] == ["Prices of bolts", TABLE[0]]
    held = {line for passage in passages for line in passage.text.splitlines()}
    assert held == {"Prices of bolts", *TABLE}


def test_a_row_longer_than_a_passage_stays_whole() -> None:
    row = " | ".join(f"cell {i}" for i in range(200))
    page = f"{SENTENCE * 8}\n{row}\n{SENTENCE * 8}"
    assert sum(row in passage.text for passage in split_page(page)) >= 1


def test_a_passage_repeats_the_last_heading_above_it() -> None:
    page = f"1. Deposits\n{SENTENCE * 12}\n\nNotice periods\n{SENTENCE * 12}"
    texts = [passage.text for passage in split_page(page, "Lease")]
    assert all(text.startswith(("1. Deposits\n", "Notice periods\n")) for text in texts)
    assert texts[-1].startswith("Notice periods\n")


def test_a_page_without_headings_repeats_the_section_it_stands_under() -> None:
    first, *others = split_page(SENTENCE * 30, "Chapter 7")
    assert first.text.startswith("Chapter 7\n")
    assert all(passage.text.startswith("Chapter 7\n") for passage in others)


@given(st.text(st.sampled_from("ab. \n|\t#1A"), max_size=900), st.integers(20, 200))
@settings(max_examples=200, deadline=None)
def test_every_word_is_in_some_passage(text: str, size: int) -> None:
    passages = split_page(text, size=size)
    covered = set()
    for passage in passages:
        assert passage.text.endswith(text[passage.start : passage.end])
        covered |= set(range(passage.start, passage.end))
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)
