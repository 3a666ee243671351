"""Citations as plain data, as lines for a model, and under the numbers that a caller knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from pace_integrations.answer import Answer, Citation

_MARK = re.compile(r"\[(\d+(?:\s*,\s*\d+)*)\]")
_PARTIAL = re.compile(r"\[[\d,\s]{0,40}\Z")


def to_plain(value: Any) -> Any:  # noqa: ANN401 - dataclasses, mappings and sequences
    """Return a dataclass as plain values: what JSON gives back after a checkpoint or a cache."""
    return json.loads(json.dumps(asdict(value)))


def load_citations(plain: Iterable[Mapping[str, Any]]) -> list[Citation]:
    """Return the citations that `to_plain` made plain."""
    return [Citation(**{**found, "span": tuple(found["span"])}) for found in plain]


def describe_citations(found: Iterable[Citation]) -> list[str]:
    """Return where answers are found, a line for each place, as a model reads it."""
    lines = (f"[{c.passage}] {c.document}, page {c.page_label or c.page}: {c.quote}" for c in found)
    return list(dict.fromkeys(lines))


def describe_support(answer: Answer) -> dict[str, Any]:
    """Return what speaks for an answer as plain data: evidence, support, and how it was made."""
    return {
        "evidence": [to_plain(citation) for citation in answer.evidence],
        "support": answer.support,
        "supported": answer.supported,
        "exact": answer.exact,
        "selection": to_plain(answer.selection) if answer.selection else None,
    }


def find_mark(citation: Citation, text: str) -> list[int] | None:
    """Return the start and end of the mark that names a passage; None where none does."""
    for found in _MARK.finditer(text) if citation.method == "cited" else ():
        if str(citation.passage) in re.findall(r"\d+", found[1]):
            return list(found.span())
    return None


class MarkRewriter:
    """Puts the caller's numbers in the place of the session's, while an answer is written.

    Args:
        numbers: The caller's number of each passage; others stay as they are.
    """

    def __init__(self, numbers: Mapping[int, int]) -> None:
        self._numbers = numbers
        self._held = ""

    def push(self, text: str) -> str:
        """Take new text; return what is sure to hold no half mark."""
        if not self._numbers:
            return text
        self._held += text
        partial = _PARTIAL.search(self._held)
        end = partial.start() if partial else len(self._held)
        shown, self._held = self._held[:end], self._held[end:]
        return self._rewrite(shown)

    def finish(self) -> str:
        """Return what is left when no text follows."""
        held, self._held = self._held, ""
        return held

    def renumber(self, answer: Answer) -> Answer:
        """Return a whole answer under the caller's numbers."""
        if not self._numbers:
            return answer
        citations, evidence = (
            tuple(replace(c, passage=self._numbers.get(c.passage, c.passage)) for c in found)
            for found in (answer.citations, answer.evidence)
        )
        text = self._rewrite(answer.text)
        return replace(answer, text=text, citations=citations, evidence=evidence)

    def _rewrite(self, text: str) -> str:
        def change(found: re.Match[str]) -> str:
            numbers = (int(number) for number in re.findall(r"\d+", found[1]))
            return f"[{', '.join(str(self._numbers.get(n, n)) for n in numbers)}]"

        return _MARK.sub(change, text)
