"""Turns the bytes of text files into text. Knows nothing of pages or formats."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from charset_normalizer import CharsetMatch, from_bytes

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOST = "\ufffd"
_WESTERN = "cp1252"
_LATIN = frozenset({"cp1250", "cp1252", "cp1254"})
# The encodings that text files still have. A longer list makes short texts ambiguous.
_CANDIDATES = [*(f"cp125{number}" for number in range(7)), "koi8_r", "shift_jis", "euc_jp"]
_CANDIDATES += ["gb18030", "big5", "euc_kr"]
# Western European text has few accented letters; more of them mean another alphabet.
_MAX_ACCENTED = 0.15
_SAMPLE = 256 * 1024


class Decoded(NamedTuple):
    """Text made of bytes.

    Attributes:
        text: The text, or None where the bytes are none.
        problem: What was lost or guessed, or None.
    """

    text: str | None
    problem: str | None = None


def _decode_marked(data: bytes) -> Decoded | None:
    """Decode bytes that begin with a byte order mark."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return decode_as(data[len(mark) :], encoding)
    return None


def _decode_unmarked_utf16(data: bytes) -> Decoded | None:
    """Decode UTF-16 without its mark: every other byte of letters with Latin or near codes is 0."""
    sample = data[:_SAMPLE]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) < 0.9 * (even + odd) or 10 * (even + odd) < len(sample):
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    text = data.decode(encoding, "replace")
    controls = sum(char < " " and char not in "\t\n\r\f" for char in text[:_SAMPLE])
    if text.count(_LOST) + controls > 0.01 * len(text):
        return None
    return Decoded(text, "the file has no byte order mark; it was read as UTF-16")


def _is_western(data: bytes, matches: list[CharsetMatch]) -> bool:
    """Tell whether Windows-1252 fits as well as whatever the detector puts first."""
    if matches and matches[0].encoding in _LATIN:
        # Central European letters stand in the places of Western ones: only words can tell.
        names = {name for match in matches for name in match.could_be_from_charset}
        return _WESTERN in names or matches[0].coherence == 0.0
    accented = sum(byte > 127 for byte in data)
    return accented <= _MAX_ACCENTED * len(data) and (not matches or not matches[0].coherence)


def _guess_encoding(data: bytes) -> Decoded:
    """Decode bytes that are no valid UTF-8: UTF-8 with damage, a detected encoding, or none."""
    text = data.decode("utf-8", "replace")
    lost = text.count(_LOST)
    letters = sum(not char.isascii() for char in text) - lost
    if letters > lost:
        return Decoded(text, f"{lost} characters are no valid UTF-8")
    sample = data[:_SAMPLE]
    matches = list(from_bytes(sample, cp_isolation=_CANDIDATES))
    encoding = _WESTERN if _is_western(sample, matches) else matches[0].encoding if matches else ""
    if not encoding:
        return Decoded(None, "the bytes are no valid UTF-8 and of no encoding that is known here")
    name = "Windows-1252" if encoding == _WESTERN else encoding
    problem = f"the file is not UTF-8 and names no encoding; it was read as {name}"
    return Decoded(data.decode(encoding, "replace"), problem)


def decode_as(data: bytes, encoding: str) -> Decoded:
    """Decode bytes in an encoding that is declared; says how many characters were lost.

    Raises:
        LookupError: There is no such encoding.
    """
    text = data.decode(encoding, "replace")
    lost = text.count(_LOST)
    return Decoded(text, f"{lost} characters are no valid {encoding}" if lost else None)


def decode_text(data: bytes) -> Decoded:
    """Decode a text file: by its byte order mark, as UTF-8, or by a guess that it reports.

    Never raises. NUL bytes without a mark mean a binary file.
    """
    marked = _decode_marked(data)
    if marked is not None:
        return marked
    if data.count(0) > 0.01 * len(data):
        return _decode_unmarked_utf16(data) or Decoded(None, "the file holds binary data")
    try:
        return Decoded(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _guess_encoding(data)
