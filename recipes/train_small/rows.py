"""Rows of training: a head, pages, and turns behind them, with what each token may see.

A row is a head (system part and instruction) and units behind it that do not see each other. A
unit is some pages and the turns about them. Every turn stands right behind its pages and sees
them, the head and itself: each question is a first question, and likelihoods of passages asked
one by one can be compared. So one row trains many short prompts at the cost of one.
"""

from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from recipes.train_nano import formats

# Asked right behind an answer: what was read and written is there, so a check costs few tokens.
VERIFICATION = "Is that right? Answer Yes or No."
RIGHT, WRONG = "Yes", "No"
NUMBER_WEIGHT = 2.0
# Whether to answer is decided by a reply's first token: it weighs the same both ways, so that the
# probability of a refusal follows the shares of the mixture.
FIRST_WEIGHT = 2.0
VERDICT_WEIGHT = 4.0
SMALL_WEIGHT = 0.1
SINK = 4  # the first tokens of a block are its attention sink and look alike in every page


@dataclass(frozen=True)
class Page:
    """A page as the model sees it.

    Args:
        number: Number to cite it by.
        title: Title of the document.
        label: Printed page label.
        text: The text.
    """

    number: int
    title: str
    label: str | None
    text: str


@dataclass(frozen=True)
class Turn:
    """One question about the pages of a unit.

    Args:
        question: What the user says.
        reply: What the model shall say.
        kind: `answer`, `refusal`, or `given` for a reply that bears no loss.
        verdict: What the model shall say when it is asked whether that was right; may be empty.
        gold: Which pages of the unit answer it, the one that is cited first.
    """

    question: str
    reply: str
    kind: str
    gold: tuple[int, ...] = ()
    verdict: str = ""


@dataclass(frozen=True)
class Piece:
    """Queries of one stretch of a row and the keys that they see.

    Args:
        queries: Begin and end of the stretch.
        keys: Stretches of keys, the last of them the queries' own.
        mask: Which query sees which key; causal among the queries' own when None.
    """

    queries: tuple[int, int]
    keys: tuple[tuple[int, int], ...]
    mask: Tensor | None = None


@dataclass
class Row:
    """Token ids with positions, weights in the loss, and what each token sees."""

    tokenizer: Tokenizer
    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    pages: list[tuple[int, int]] = field(default_factory=list)
    questions: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    marks: list[tuple[str, int]] = field(default_factory=list)
    _head: int = 0

    def encode(self, text: str) -> list[int]:
        """Encode a piece on its own, as the library does."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _add(self, ids: list[int], start: int, weights: list[float] | None = None) -> None:
        self.ids += ids
        self.weights += weights or [0.0] * len(ids)
        self.positions += range(start, start + len(ids))

    def add_head(self) -> None:
        """Add system part and instruction, a block of their own."""
        ids = self.encode(formats.SYSTEM) + self.encode(formats.INSTRUCTION)
        self._head = len(ids)
        self._add(ids, 0)
        self.pieces.append(Piece((0, len(ids)), ((0, len(ids)),)))

    def add_causal(self, ids: list[int], weights: list[float]) -> None:
        """Add a plain text by itself, in which every token sees all before it."""
        span = (len(self.ids), len(self.ids) + len(ids))
        self._add(ids, 0, weights)
        self.pieces.append(Piece(span, (span,)))

    def cost(self, pages: list[Page], turns: list[Turn]) -> int:
        """Estimate the tokens of a unit."""
        return sum(len(p.text) // 3 + 14 for p in pages) + sum(
            (len(t.question) + len(t.reply)) // 4 + (36 if t.verdict else 16) for t in turns
        )

    def add_unit(self, pages: list[Page], turns: list[Turn], *, full: bool) -> None:
        """Add pages and the turns about them.

        Args:
            pages: The pages, in order.
            turns: The turns; none sees another.
            full: Whether a page sees the head and the pages before it.
        """
        begin, position, first = len(self.ids), self._head, len(self.pages)
        for page in pages:
            ids = self.encode(formats.passage(page.number, page.title, page.label, page.text))
            start = len(self.ids)
            self._add(ids, position)
            position += len(ids)
            span = (start, len(self.ids))
            if not full:
                self.pages.append(span)
                self.pieces.append(Piece(span, (span,)))
        head, library = (0, self._head), (begin, len(self.ids))
        if full:
            self.pieces.append(Piece(library, (head, library)))
        start, ends = len(self.ids), []
        for turn in turns:
            self._add_turn(turn, position, pages)
            ends.append(len(self.ids))
            if turn.gold and not full and turn.kind == "answer":
                self.questions.append((turn.question, tuple(first + g for g in turn.gold)))
        own = (start, len(self.ids))
        mask = _turns_mask(start, ends, library[1] - library[0] + self._head)
        self.pieces.append(Piece(own, (head, library, own), mask))

    def _add_turn(self, turn: Turn, position: int, pages: list[Page]) -> None:
        ask = (
            self.encode(formats.TO_USER)
            + self.encode(turn.question)
            + self.encode(formats.TO_ASSISTANT)
        )
        reply = self.encode(turn.reply + formats.END)
        weights = [FIRST_WEIGHT] + [1.0] * (len(reply) - 1)
        if turn.kind == "answer" and turn.reply.endswith("]"):
            digits = len(turn.reply) - turn.reply.rindex("[") - 2
            heavy = NUMBER_WEIGHT / digits if len(pages) == 1 else NUMBER_WEIGHT
            weights[-2 - digits : -2] = [heavy] * digits
        elif turn.kind == "refusal":
            weights = [FIRST_WEIGHT] + [SMALL_WEIGHT] * (len(reply) - 1)
        elif turn.kind == "given":
            weights = [0.0] * len(reply)
        self._add(ask, position)
        if turn.kind != "given":
            self.marks.append((turn.kind, len(self.ids)))
        self._add(reply, position + len(ask), weights)
        if turn.verdict:
            self._add_verdict(turn.verdict, position + len(ask) + len(reply))

    def _add_verdict(self, verdict: str, position: int) -> None:
        ask = (
            self.encode(formats.NEXT_USER)
            + self.encode(VERIFICATION)
            + self.encode(formats.TO_ASSISTANT)
        )
        reply = self.encode(verdict + formats.END)
        self._add(ask, position)
        self.marks.append(("verdict", len(self.ids)))
        weights = [VERDICT_WEIGHT] + [SMALL_WEIGHT] * (len(reply) - 1)
        self._add(reply, position + len(ask), weights)


def _turns_mask(start: int, ends: list[int], shared: int) -> Tensor:
    """Let each turn see `shared` keys and itself up to each token."""
    count = (ends[-1] if ends else start) - start
    mask = torch.zeros(count, shared + count, dtype=torch.bool)
    mask[:, :shared] = True
    begin = 0
    for end in ends:
        stop = end - start
        mask[begin:stop, shared + begin : shared + stop] = torch.ones(
            stop - begin, stop - begin, dtype=torch.bool
        ).tril_()
        begin = stop
    return mask
