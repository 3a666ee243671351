"""Words of a page as a reader sees them who turns the page upright, and what lies on the page."""

from __future__ import annotations

from collections.abc import Sequence

from pace_integrations.documents.formats.pdf.accents import Box
from pace_integrations.documents.formats.pdf.chunks import Word
from pace_integrations.documents.formats.pdf.pdfium_words import Piece


def _turn_box(box: Box, turned: int, page: Box) -> Box:
    """Return left, top, right and bottom of a box as a reader who turns the page sees it."""
    left, bottom, right, top = box
    if turned == 1:
        return bottom - page[1], left - page[0], top - page[1], right - page[0]
    if turned == 2:
        return page[2] - right, bottom - page[1], page[2] - left, top - page[1]
    return page[3] - top, page[2] - right, page[3] - bottom, page[2] - left


def take_inside(pieces: Sequence[Piece], area: Box) -> list[Piece]:
    """Return the pieces whose middle lies in an area."""
    left, bottom, right, top = (2 * place for place in area)
    return [
        piece
        for piece in pieces
        for (x, y, end, upper) in (piece.box,)
        if left - 2 <= x + end <= right + 2 and bottom - 2 <= y + upper <= top + 2
    ]


def turn_single_letters(pieces: Sequence[Piece]) -> None:
    """Give words of one letter, which run nowhere, the direction of the word before.

    A letter that stands across that direction keeps its own.
    """
    turned = next((piece.turned for piece in pieces if len(piece.text) > 1), 0)
    for piece in pieces:
        if len(piece.text) > 1:
            turned = piece.turned
        elif (piece.turned - turned) % 2 == 0:
            piece.turned = turned


def to_words(pieces: Sequence[Piece], turned: int, page: Box) -> list[Word]:
    """Return the pieces of one direction as words of a page that is turned upright."""
    if turned == 0:
        left, top = page[0], page[3]
        return [
            Word(p.text, p.box[0] - left, top - p.box[3], p.box[2] - left, top - p.box[1], p.space)
            for p in pieces
            if p.turned == 0
        ]
    return [
        Word(piece.text, *_turn_box(piece.box, turned, page), piece.space)
        for piece in pieces
        if piece.turned == turned
    ]
