"""What is said of an answer: the pages it rests on, the evidence, and why they were chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pace_integrations.answer import Citation, SelectedPage
from pace_integrations.documents import best_quote
from pace_integrations.library.blocks import Block
from pace_integrations.library.choice import ScoredBlock
from pace_integrations.model.candidates import Candidate
from pace_integrations.session.citations import Passage, make_citation, resolve_citations

_EVIDENCE = 3  # sentences shown


def cite_blocks(
    text: str, question: str, blocks: Sequence[Block], weights: Sequence[float] = ()
) -> tuple[Citation, ...]:
    """Return the pages that an answer rests on, with quotes from what was read of them.

    Where it names none, the page that the model looked at most comes before one that is found by
    its words, unless it holds none of them.

    Args:
        text: The answer.
        question: The question.
        blocks: The passages it was made from; several may be of one page.
        weights: How much the model looked at each of them while it wrote, or nothing.
    """
    starts: dict[int, int] = {}
    passages = []
    for number in dict.fromkeys(block.number for block in blocks):
        own = [block for block in blocks if block.number == number]
        starts[number] = min(block.passage.start for block in own)
        end = max(block.passage.end for block in own)
        page = replace(own[0].page, text=own[0].page.text[starts[number] : end])
        passages.append(Passage(number, own[0].document, page))
    cited = resolve_citations(text, question, passages)
    if weights and not any(citation.method == "cited" for citation in cited):
        looked = dict.fromkeys(starts, 0.0)
        for block, weight in zip(blocks, weights, strict=True):
            looked[block.number] += weight
        first = max(passages, key=lambda passage: looked[passage.number])
        quote = best_quote(first.page.text, text, question)
        if quote.score or not cited:
            cited = (make_citation(first, quote, "attention"),)
    return tuple(_shift_span(citation, starts[citation.passage]) for citation in cited)


def find_evidence(question: str, blocks: Sequence[Block]) -> tuple[Citation, ...]:
    """Return the sentences of passages that fit a question best, by its words alone.

    Args:
        question: The question.
        blocks: The passages, the best first.
    """
    found: dict[tuple[int, str], Citation] = {}
    for block in blocks:
        page = block.narrowed_page()
        quote = best_quote(page.text, question, question)
        if quote.score > 0.0:
            passage = Passage(block.number, block.document, page)
            citation = _shift_span(make_citation(passage, quote, "matched"), block.passage.start)
            # Neighbors overlap, so a sentence may stand in two of them.
            found.setdefault((block.number, quote.text), citation)
    ranked = sorted(found.values(), key=lambda citation: -citation.score)
    return tuple(ranked[:_EVIDENCE])


def describe_blocks(
    chosen: Sequence[ScoredBlock],
    candidates: Sequence[Candidate],
    count_tokens: Callable[[Block], int],
) -> tuple[SelectedPage, ...]:
    """Return passages that were chosen, with what each of them answered.

    Args:
        chosen: The passages.
        candidates: Their answers, where each was asked by itself; otherwise none.
        count_tokens: Tokens of a passage.
    """
    answers: list[Candidate | None] = [*candidates] or [None] * len(chosen)
    pages = []
    for scored, candidate in zip(chosen, answers, strict=True):
        block = scored.block
        complete = candidate if candidate is not None and candidate.complete else None
        pages.append(
            SelectedPage(
                number=block.number,
                document=block.document.title,
                page=block.page.index,
                page_label=block.page.label,
                span=(block.passage.start, block.passage.end),
                tokens=count_tokens(block),
                score=scored.score,
                reason=scored.reason,
                answer=complete.text if complete else None,
                likelihood=complete.likelihood if complete else None,
                refusal=candidate.refusal if candidate else None,
            )
        )
    return tuple(pages)


def _shift_span(citation: Citation, start: int) -> Citation:
    """Return a citation with its span counted from the beginning of the page."""
    return replace(citation, span=(citation.span[0] + start, citation.span[1] + start))
