"""From what the model wrote to pages that exist, with the words that support it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pace_integrations._renamed import keep_renamed
from pace_integrations.answer import Citation
from pace_integrations.documents import Document, Page
from pace_integrations.documents.quotes.matching import Quote, best_passage, best_quote
from pace_integrations.model.prompts import UNANSWERABLE

_EVIDENCE = 3  # sentences
_MARKS = re.compile(r"\[(\d{1,9}(?:\s*,\s*\d{1,9})*)\]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A page under the number by which the model saw it."""

    number: int
    document: Document
    page: Page


def resolve_citations(
    text: str, question: str, passages: Sequence[Passage]
) -> tuple[Citation, ...]:
    """Resolve the ``[n]`` in an answer, and checks that the words are there.

    Where the model cites nothing, or only pages that hold at most half as many of the answer's
    words as another page, the best lexical match comes first. Numbers that no passage has are
    skipped: a citation never names a page that was not read.

    Args:
        text: The answer, citation marks included.
        question: The question it answers.
        passages: What was read, each under its own number.
    """
    bare = _MARKS.sub(" ", text).strip()
    if not passages or not bare or bare.startswith(UNANSWERABLE):
        return ()
    known = {passage.number: passage for passage in passages}
    named = [known[n] for n in _parse_numbers(text) if n in known]
    cited = tuple(make_citation(p, best_quote(p.page.text, bare, question), "cited") for p in named)
    supported = max((citation.score for citation in cited), default=0.0)
    if supported > 0.5:  # no page can hold twice as many
        return cited
    match = best_passage([p.page.text for p in passages], bare, question)
    if match is None or match[1].score < 2 * supported or passages[match[0]] in named:
        return cited
    return make_citation(passages[match[0]], match[1], "matched"), *cited


def find_evidence(question: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return the sentences that fit a question best, by its words alone and without a model.

    Args:
        question: The question.
        passages: Where to look, the likeliest first; each may be a part of a page.
    """
    quotes = ((passage, best_quote(passage.page.text, question, question)) for passage in passages)
    found = [make_citation(passage, quote, "matched") for passage, quote in quotes if quote.score]
    # Stable: of sentences that fit equally the first stays first.
    return tuple(sorted(found, key=lambda citation: -citation.score)[:_EVIDENCE])


def _parse_numbers(text: str) -> list[int]:
    """Cited numbers in order of first mention."""
    groups = (group.split(",") for group in _MARKS.findall(text))
    return list(dict.fromkeys(int(number) for group in groups for number in group))


def make_citation(
    passage: Passage, quote: Quote, method: Literal["cited", "matched", "attention"]
) -> Citation:
    """Return the citation of a page with the quote that supports the answer.

    Args:
        passage: The page under its number.
        quote: Words of the page and their span.
        method: ``"cited"`` if the model named the page, ``"matched"`` if a search found it,
            ``"attention"`` if the model looked at it.
    """
    return Citation(
        document=passage.document.title,
        document_id=passage.document.id,
        source=passage.document.source,
        passage=passage.number,
        page=passage.page.index,
        page_label=passage.page.label,
        quote=quote.text,
        span=(quote.start, quote.end),
        method=method,
        score=quote.score,
        section=passage.page.section,
    )


__getattr__ = keep_renamed(__name__)
