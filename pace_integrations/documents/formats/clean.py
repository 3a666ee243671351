"""Turns the text that a PDF parser finds into text that reads well and can be quoted."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable

# Drawn but not readable: controls, zero-width and direction marks, invisible tag characters.
# The zero-width joiners stay, since Arabic, Persian and Indic scripts spell with them.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Glyphs stored as presentation forms (ligatures, Hebrew and Arabic shapes, Kangxi radicals).
# Compatibility folding of the whole text would also turn m² into m2 and ½ into 1/2.
_FORMS = re.compile("[\u2f00-\u2fd5\ufb00-\ufdff\ufe70-\ufefc]+")
_SPACES = re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000 ]+")
_HYPHENS = str.maketrans({"\u2010": "-", "\u2011": "-", "\uf0b7": "•", "\uf0a7": "•"})
_SOFT_HYPHEN = re.compile("\u00ad[ \t]*\n?[ \t]*")
# The end of the broken word moves up to its line, so that line lengths still tell full lines.
# A word is tried from its beginning only, or long runs of letters would be tried from each.
_BREAK = re.compile(r"(?:(?<![^\W\d_])|(?=-))(-?[^\W\d_]+)-\n([^\W\d_]+)(\S*)(?:[ \n]|\Z)")
_KEPT_BREAK = re.compile(r"(?<=\w)-\n(?=\w)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_COMPOUND = frozenset(["full", "half", "high", "long", "low", "non", "self", "short", "well"])
_ITEM = re.compile(r"[-–—•*▪◦·>]|\(?(\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.)]\s|\d+(\.\d+)*\s|§")
_TAIL = re.compile(r"(?<![\d.,])[\d.,]*\d$|(?<![^\W\d_])[^\W\d_]+$")
_ORDINAL = re.compile(r"st|nd|rd|th|er|re|e|o|a|º|ª|ème|ère|tm|®|™", re.IGNORECASE)
_NARROWEST = 30
_CLOSED = re.compile(r"[.!?:;。！？]['\"”’)\]]*$")


# Not characters, by Unicode's own rule: what begins and ends struck text until it is cleaned.
_STRUCK = re.compile("[\ufdd0\ufdd1]")
_STRUCK_JOINT = re.compile("\ufdd1(\\s*)\ufdd0")


def clean_characters(text: str) -> str:
    """Normalize spaces, line ends, ligatures and accents; remove what is invisible."""
    if text.isascii():
        text = _DROPPED.sub("", _NEWLINES.sub("\n", text))
    else:
        # A pair of surrogates is one character; a lone one is none and breaks UTF-8 later on.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if "\ufdd0" in text:
            text = _STRUCK.sub("~~", _STRUCK_JOINT.sub(r"\1", text))
        text = _NEWLINES.sub("\n", text).translate(_HYPHENS)
        text = _PRIVATE.sub("", _DROPPED.sub("", text))
        text = _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
        text = unicodedata.normalize("NFC", _SOFT_HYPHEN.sub("", text))
    lines = [line.strip() for line in _SPACES.sub(" ", text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def raise_text(before: str, raised: str) -> str:
    """Return raised text so that its meaning stays when it stands on the line.

    ``10^6``, ``m^2`` and ``x^n`` are powers and ``1st`` is one word; digits behind another number
    are the mark of a note, and parted from it.

    Args:
        before: What stands before it on the line.
        raised: The raised text.
    """
    tail = _TAIL.search(before)
    if tail is None or not raised or _ORDINAL.fullmatch(raised):
        return raised if tail is not None or not raised[:1].isalnum() else f"^{raised}"
    if not (raised[0].isalnum() or raised[0] in "+-−"):
        return f" {raised}"
    if tail[0][-1].isdigit():
        power = tail[0] in ("10", "2") or not raised[0].isdigit()
        return f"^{raised}" if power else f" ^{raised}"
    return f"^{raised}"


def lower_text(before: str, lowered: str) -> str:
    """Return lowered text as it stands on the line: ``H2O``, ``x1``, and ``101_2`` for a base."""
    both = before[-1:].isdigit() and lowered[:1].isdigit()
    return f"_{lowered}" if both else lowered


def strike_text(text: str) -> str:
    """Return text that is struck out, for `clean_characters` to write as ``~~99 euros~~``.

    Struck pieces that follow each other become one, so that the marks are no characters until then.
    """
    words = text.strip()
    return text.replace(words, f"\ufdd0{words}\ufdd1") if words else text


def format_number(value: int, style: str) -> str:
    """Return a number as lists show it: ``1 01`` decimal, ``a A`` letters, ``i I`` Roman."""
    if style == "01":
        return f"{value:02d}"
    if style in ("a", "A") and value > 0:
        letters = ""
        while value > 0:
            value, digit = divmod(value - 1, 26)
            letters = chr(97 + digit) + letters
        return letters if style == "a" else letters.upper()
    if style in ("i", "I") and 0 < value < 4000:
        roman = ""
        for worth, sign in zip(
            (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
            ["m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"],
            strict=True,
        ):
            roman += sign * (value // worth)
            value %= worth
        return roman if style == "i" else roman.upper()
    return str(value)


def vocabulary(texts: Iterable[str]) -> set[str]:
    """Return the words of a document, those that are broken over two lines left out.

    Args:
        texts: The pages, their characters cleaned.
    """
    words: set[str] = set()
    for text in texts:
        words.update(_WORD.findall(_BREAK.sub(" ", text).casefold()))
    return words


def _join_word(left: str, right: str, words: set[str]) -> str:
    """Join a word that was broken over two lines, keeping the hyphen of a compound."""
    if left[0] == "-" or len(left) == 1:  # state-of-the-art, e-mail
        return f"{left}-{right}"
    a, b = left.casefold(), right.casefold()
    if a + b in words:
        return left + right
    two_words = len(a) > 3 and len(b) > 3 and a in words and b in words
    compound = f"{a}-{b}" in words or (a in _COMPOUND and len(b) > 3)
    keep = compound or two_words or right[0].isupper()
    return f"{left}-{right}" if keep else left + right


def _is_prose(line: str) -> bool:
    """Tell running text from headings, names and table rows by its small letters."""
    words = [word for word in line.split(" ") if word[:1].isalpha()]
    small = sum(word[0].islower() for word in words)
    return len(words) >= 3 and 2 * small >= len(words) >= 0.75 * (line.count(" ") + 1)


def _same_paragraph(line: str, following: str, width: int) -> bool:
    """Tell whether a line was broken only because the next word did not fit."""
    if not line or not following or _CLOSED.search(line) or _ITEM.match(following):
        return False
    if following[0].islower():
        return 2 * len(line) >= width
    full = len(line) + 1 + len(following.split(" ", 1)[0]) > 0.9 * width
    return full and width >= _NARROWEST and _is_prose(line)


def _reflow_lines(text: str) -> str:
    """Put the lines of a paragraph on one line; headings, lists and table rows keep theirs."""
    lines = text.split("\n")
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    parts = [lines[0]]
    for line, following in itertools.pairwise(lines):
        parts.append(" " if _same_paragraph(line, following, width) else "\n")
        parts.append(following)
    return "".join(parts)


def clean_page(text: str, words: set[str]) -> str:
    """Join broken words and put paragraphs on one line.

    Args:
        text: A page, its characters cleaned.
        words: The document's `vocabulary`, which decides whether the hyphen at a line's end
            belongs to the word.
    """

    def join(match: re.Match[str]) -> str:
        return f"{_join_word(match[1], match[2], words)}{match[3]}\n"

    return _reflow_lines(_KEPT_BREAK.sub("-", _BREAK.sub(join, text)).strip())
