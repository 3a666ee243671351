"""Finds words in a text that spells or breaks them in another way. Pure functions of text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from rapidfuzz.fuzz import partial_ratio_alignment

_MIN_RATIO = 85.0  # of 100: below it, what is found is something else


def _fold_letters(text: str) -> tuple[str, list[int]]:
    """Return letters and digits of a text, folded, and where in the text each one stands.

    Accents are left out: what draws pages may draw them apart from their letters.
    """
    folded: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for letter in unicodedata.normalize("NFKD", char).casefold():
            if letter.isalnum():
                folded.append(letter)
                places.append(place)
    return "".join(folded), places


def _find_starts(text: str, wanted: str) -> Iterator[int]:
    start = text.find(wanted)
    while start >= 0:
        yield start
        start = text.find(wanted, start + 1)


def _extend_end(text: str, end: int, words: str) -> int:
    """Return the end of a place with the full stop and quotation mark that the words end with."""
    last = max(place for place, char in enumerate(words) if char.isalnum())
    for char in words[last + 1 :]:
        if text[end : end + 1] != char:
            break
        end += 1
    return end


def find_words(text: str, words: str, occurrence: int = 0) -> tuple[int, int] | None:
    """Find words in a text, whatever spaces, hyphens, line ends and ligatures stand between.

    Where they are not there to the letter, the most similar place is taken if it is similar
    enough.

    Args:
        text: The text.
        words: The words.
        occurrence: Which one to take of several, from 0; the last one if there are fewer.

    Returns:
        Start and end of the place in the text, or None.
    """
    letters, places = _fold_letters(text)
    wanted, _ = _fold_letters(words)
    if not wanted:
        return None
    starts = list(_find_starts(letters, wanted))
    if starts:
        start = starts[min(occurrence, len(starts) - 1)]
        return places[start], _extend_end(text, places[start + len(wanted) - 1] + 1, words)
    if len(wanted) > len(letters):
        return None
    found = partial_ratio_alignment(wanted, letters, score_cutoff=_MIN_RATIO)
    if found is None or found.dest_end <= found.dest_start:
        return None
    return places[found.dest_start], places[found.dest_end - 1] + 1


def occurrence_of(text: str, start: int, end: int) -> int:
    """Count how often the words of a span stand in the text before it."""
    letters, places = _fold_letters(text)
    wanted, _ = _fold_letters(text[start:end])
    return sum(places[first] < start for first in _find_starts(letters, wanted)) if wanted else 0
