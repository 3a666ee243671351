"""Words of a page as a reader sees them who turns the page upright, and what lies on the page."""

from __future__ import annotations

from collections.abc import Sequence

from pace_integrations.documents.formats.pdf.accents import Box
from pace_integrations.documents.formats.pdf.chunks import RIGHT_TO_LEFT, Word
from pace_integrations.documents.formats.pdf.pdfium_words import Piece

_SPACES = 0.9  # heights of the letters that the space between two words takes at most


def _turn_box(box: Box, turned: int, page: Box) -> Box:
    """Return left, top, right and bottom of a box as a reader who turns the page sees it."""
    left, bottom, right, top = box
    if turned == 1:
        return bottom - page[1], left - page[0], top - page[1], right - page[0]
    if turned == 2:
        return page[2] - right, bottom - page[1], page[2] - left, top - page[1]
    return page[3] - top, page[2] - right, page[3] - bottom, page[2] - left


def take_inside(pieces: Sequence[Piece], area: Box) -> tuple[list[Piece], int]:
    """Return the pieces of the lines that begin in an area, and how many of them run out of it.

    A piece belongs to it if its middle lies there. Lines that are too long for the page, as those
    of listings are, are read whole.
    """
    left, bottom, right, top = (2 * place for place in area)
    shown: list[Piece] = []
    beyond, last = 0, None
    for piece in pieces:
        x, y, end, upper = piece.box
        if left - 2 <= x + end <= right + 2 and bottom - 2 <= y + upper <= top + 2:
            last = piece
        elif _begins_within(piece, area) or (last is not None and _goes_on(last, piece)):
            last = piece
            beyond += 1
        else:
            last = None
            continue
        shown.append(piece)
    return shown, beyond


def _begins_within(piece: Piece, area: Box) -> bool:
    """Tell whether the first letter of a word lies in an area."""
    along, ahead = piece.turned % 2, piece.turned in (0, 1)
    if piece.turned == 0 and RIGHT_TO_LEFT.search(piece.text):
        ahead = False
    inner = (piece.box[3 - along] - piece.box[1 - along]) / 2  # about the middle of a letter
    start = piece.box[along] + inner if ahead else piece.box[along + 2] - inner
    across = 1 - along
    middle = (piece.box[across] + piece.box[across + 2]) / 2
    return area[along] <= start <= area[along + 2] and area[across] <= middle <= area[across + 2]


def _goes_on(last: Piece, piece: Piece) -> bool:
    """Tell whether a word follows another one in its line, with no more than spaces between."""
    along = last.turned % 2
    across = 1 - along
    a, b = last.box, piece.box
    height = min(a[across + 2] - a[across], b[across + 2] - b[across])
    level = min(a[across + 2], b[across + 2]) - max(a[across], b[across]) > height / 2
    gap = max(b[along] - a[along + 2], a[along] - b[along + 2])
    return level and gap < _SPACES * height


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
