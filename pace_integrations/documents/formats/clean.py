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
_BREAK = re.compile(r"([^\W\d_]+)-\n([^\W\d_]+)(\S*)(?:[ \n]|\Z)")
_KEPT_BREAK = re.compile(r"(?<=\w)-\n(?=\w)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_COMPOUND = frozenset(["full", "half", "high", "long", "low", "non", "self", "short", "well"])
_ITEM = re.compile(r"[-–—•*▪◦·>]|\(?(\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.)]\s|\d+(\.\d+)*\s|§")
_NARROWEST = 30
_CLOSED = re.compile(r"[.!?:;。！？]['\"”’)\]]*$")


def clean_characters(text: str) -> str:
    """One spelling for spaces, line ends, ligatures and accents; nothing invisible stays."""
    # A pair of surrogates is one character; a lone one is none and breaks UTF-8 later on.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _NEWLINES.sub("\n", text).translate(_HYPHENS)
    text = _PRIVATE.sub("", _DROPPED.sub("", text))
    text = _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFC", _SOFT_HYPHEN.sub("", text))
    lines = [line.strip() for line in _SPACES.sub(" ", text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def vocabulary(texts: Iterable[str]) -> set[str]:
    """The words of a document, those that are broken over two lines left out.

    Args:
        texts: The pages, their characters cleaned.
    """
    words: set[str] = set()
    for text in texts:
        words.update(_WORD.findall(_BREAK.sub(" ", text).casefold()))
    return words


def _joined(left: str, right: str, words: set[str]) -> str:
    """Joins a word that was broken over two lines, keeping the hyphen of a compound."""
    a, b = left.casefold(), right.casefold()
    if a + b in words:
        return left + right
    two_words = len(a) > 3 and len(b) > 3 and a in words and b in words
    compound = f"{a}-{b}" in words or (a in _COMPOUND and len(b) > 3)
    keep = compound or two_words or right[0].isupper()
    return f"{left}-{right}" if keep else left + right


def _is_prose(line: str) -> bool:
    """Tells running text from headings, names and table rows by its small letters."""
    words = [word for word in line.split(" ") if word[:1].isalpha()]
    small = sum(word[0].islower() for word in words)
    return len(words) >= 3 and 2 * small >= len(words) >= 0.75 * (line.count(" ") + 1)


def _same_paragraph(line: str, following: str, width: int) -> bool:
    """Tells whether a line was broken only because the next word did not fit."""
    if not line or not following or _CLOSED.search(line) or _ITEM.match(following):
        return False
    if following[0].islower():
        return 2 * len(line) >= width
    full = len(line) + 1 + len(following.split(" ", 1)[0]) > 0.9 * width
    return full and width >= _NARROWEST and _is_prose(line)


def _reflowed(text: str) -> str:
    """Puts the lines of a paragraph on one line; headings, lists and table rows keep theirs."""
    lines = text.split("\n")
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    parts = [lines[0]]
    for line, following in itertools.pairwise(lines):
        parts.append(" " if _same_paragraph(line, following, width) else "\n")
        parts.append(following)
    return "".join(parts)


def clean_page(text: str, words: set[str]) -> str:
    """Joins broken words and puts paragraphs on one line.

    Args:
        text: A page, its characters cleaned.
        words: The document's `vocabulary`, which decides whether the hyphen at a line's end
            belongs to the word.
    """

    def join(match: re.Match[str]) -> str:
        return f"{_joined(match[1], match[2], words)}{match[3]}\n"

    return _reflowed(_KEPT_BREAK.sub("-", _BREAK.sub(join, text)).strip())
