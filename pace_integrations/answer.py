"""What an answer is made of. Plain values: they know no model and no file format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Citation:
    """Where an answer, or a part of it, stands in the corpus.

    Attributes:
        document: Title of the document.
        document_id: Stable id of the document.
        source: Path of the file, or None for text that came from no file.
        passage: Number of the passage as the model saw it, ``[passage]``.
        page: 1-based page index in the file.
        page_label: Label printed on the page, such as ``"iv"``; None where there is none.
        quote: The words of the page that support the answer best.
        span: Start and end of the quote in the page's text, in characters.
        method: ``"cited"`` if the model named the passage, ``"matched"`` if it was found by its
            words because the model named none, or one that holds few of them, ``"attention"`` if
            the model looked at it while it wrote.
        score: Share of the answer's words that the quote contains, 0 to 1.
        section: Where a person finds the page: the heading, or path of headings, that it stands
            under, the sheet and rows, the slide; None where the file has no such thing.
    """

    document: str
    document_id: str
    source: str | None
    passage: int
    page: int
    page_label: str | None
    quote: str
    span: tuple[int, int]
    method: Literal["cited", "matched", "attention"]
    score: float
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    Attributes:
        input_tokens: Tokens the answer was conditioned on, the corpus included.
        cached_tokens: Those of them that were read before and not computed again.
        output_tokens: Tokens written, the end-of-turn token included.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall-clock seconds of one answer.

    Attributes:
        first_token: From the question to the first token.
        total: From the question to the last token.
    """

    first_token: float
    total: float


@dataclass(frozen=True, slots=True)
class MemoryCounts:
    """How the memory banks met the tokens of one answer, summed over layers.

    Attributes:
        high: Token lookups above ``theta_high``.
        medium: Lookups between the thresholds.
        low: Lookups at or below ``theta_low``; these leave the activation as it is.
    """

    high: int
    medium: int
    low: int


@dataclass(frozen=True, slots=True)
class SelectedPage:
    """A page, or a passage of it, that was chosen for a question.

    Attributes:
        number: The page's number in the library, which answers cite.
        document: Title of the document.
        page: 1-based page index in the file.
        page_label: Label printed on the page, or None.
        span: Start and end of the passage in the page's text, in characters.
        tokens: Tokens of it.
        score: How well it fits the question, by the selector; comparable within one selection.
        reason: Why it was chosen.
        answer: What it answered when it was asked by itself; None where it was not, or where it
            was given up because another answer was sure to be better.
        likelihood: Geometric mean of the probabilities of that answer's tokens, or None.
        refusal: Probability with which it refused to answer, or None.
    """

    number: int
    document: str
    page: int
    page_label: str | None
    span: tuple[int, int]
    tokens: int
    score: float
    reason: str
    answer: str | None = None
    likelihood: float | None = None
    refusal: float | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pages of a library an answer was made from, and why.

    Attributes:
        selector: Name of what chose the pages.
        strategy: ``"each"`` if every passage was asked by itself, ``"together"`` if all of them
            stood in one prompt.
        reason: Why this strategy, and what the selector did not look at, if anything.
        budget: Most tokens of pages.
        pages: What was chosen, the best first.
        read: Tokens of it that had to be read for this question.
    """

    selector: str
    strategy: Literal["each", "together"]
    reason: str
    budget: int
    pages: tuple[SelectedPage, ...]
    read: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and all that can be said about where it came from.

    Attributes:
        text: The answer as the model wrote it, citation marks included.
        citations: The pages it rests on; never one that does not exist.
        usage: Tokens in, cached and out.
        timings: Seconds to the first and the last token.
        memory: Lookups of the memory banks, or None with the memory off.
        finish_reason: ``"stop"`` at the model's end of turn or a stop string, ``"length"`` at
            the token limit.
        support: How well the pages support the answer, 0 to 1; None where it was not measured.
        supported: Whether that reaches the model's threshold; None where there is no threshold, or
            where the answer claims nothing.
        evidence: The sentences of the pages that fit the question best, found without the model.
        exact: Whether the pages were read in the way the model was trained for, or None.
        selection: Which pages of a library it was made from, or None.
    """

    text: str
    citations: tuple[Citation, ...]
    usage: Usage
    timings: Timings
    memory: MemoryCounts | None
    finish_reason: FinishReason
    support: float | None = None
    supported: bool | None = None
    evidence: tuple[Citation, ...] = ()
    exact: bool | None = None
    selection: Selection | None = None

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain JSON-ready values."""
        return asdict(self)
