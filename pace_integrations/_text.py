"""Text as it may come from anywhere, made into text: no halves of characters, no NUL."""

from __future__ import annotations

import re

_BROKEN = re.compile("[\ud800-\udfff\0]")


def repair_text(text: str) -> str:
    r"""Return text without surrogates and NUL.

    Pairs of surrogates become the character they stand for, lone ones and NUL become U+FFFD.
    Other text is returned as it is.

    >>> repair_text("a\ud83d\ude00b\ud83dc")
    'a😀b�c'
    """
    if not _BROKEN.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", "\ufffd")
