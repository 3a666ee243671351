"""Answers to one question from several contexts at once, with what their judge needs to know.

Every row is asked by itself. Beside its text an answer brings how likely the model held it and how
likely it would have refused.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pace_integrations.answer import FinishReason
from pace_integrations.config import GenerationConfig
from pace_integrations.model._transformers import (
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from pace_integrations.model.batch import copy_rows, select_rows
from pace_integrations.model.decode import AnswerWriter, TextDelta
from pace_integrations.model.forward import ForwardContext, predict_last, predict_next
from pace_integrations.model.kv_cache.cache import drop_tokens, fork_cache
from pace_integrations.model.pages import RowsContext
from pace_integrations.model.questions import ask_rows, is_segmented, score_refusal
from pace_integrations.model.verification import AnswerEnd, Verification, verify


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer as one row gave it.

    Attributes:
        text: The answer.
        likelihood: Probability of its tokens, its end included: their geometric mean.
        refusal: Probability with which the row refuses to answer, word for word.
        tokens: Tokens written.
        finish: Why it ends.
        complete: False where it was given up, since it could no longer be the best.
        verdict: Probability with which the model confirms it when it is asked, or None.
        question: Logarithm of the probability of the question's tokens behind what the row read,
            or None.
    """

    text: str
    likelihood: float
    refusal: float
    tokens: int
    finish: FinishReason
    complete: bool = True
    verdict: float | None = None
    question: float | None = None

    @property
    def score(self) -> float:
        """Rank of a candidate: (1 - refusal) times likelihood; 0 for no answer."""
        answers = self.complete and bool(self.text.strip())
        return (1.0 - self.refusal) * self.likelihood if answers else 0.0


@dataclass(frozen=True, slots=True)
class Asking:
    """What rows are asked, and what is to be known of their answers.

    Attributes:
        tail: Token ids of the prompt's tail with the question.
        refusal: Token ids of the model's refusal, its end included.
        insist: Whether rows compete. One that would refuse then gives its next best answer (how
            likely it refuses is known by then), and one that can no longer be among the best is
            given up.
        wanted: How many the best are.
        heard: Where the question stands in the tail, if it matters how likely each row makes it.
        verification: What the model is asked behind its answers, when all else is read already;
            where rows compete, behind the best.
    """

    tail: Sequence[int]
    refusal: Sequence[int]
    insist: bool
    wanted: int = 1
    heard: range = range(0)
    verification: Verification | None = None


def write_candidates(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: RowsContext,
    asking: Asking,
    config: GenerationConfig,
    *,
    around: ForwardContext,
) -> Generator[list[tuple[int, TextDelta]], None, list[Candidate]]:
    """Ask every row the same question.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        rows: What the rows have read; it is extended.
        asking: What they are asked.
        config: Length, sampling and stop strings of each answer.
        around: Makes the context that each forward runs in.

    Yields:
        For every step the pieces of the answers still being written, with their row.

    Returns:
        The answers, by row.
    """
    tail, refusal, insist = asking.tail, asking.refusal, asking.insist
    answers = [_Writing(AnswerWriter(model, tokenizer, config)) for _ in rows.lengths]
    later = not insist and len(answers) == 1 and is_segmented(rows.cache)
    told = refusal[:1] if later else refusal
    questions, asked = ask_rows(model, tail, told, rows, around, asking.heard)
    first = asked[:, 0] if later else _note_odds(answers, questions, asked, refusal, insist=insist)
    going = list(range(len(answers)))
    ends = torch.tensor(rows.lengths, device=model.device)[:, None] + len(tail)
    positions = ends if len(going) > 1 else None
    logits, logs = first, asked[:, 0].log_softmax(-1)
    while going:
        parts = zip(going, logits.split(1), logs.split(1), strict=True)
        taken = [answers[i].add(row, own) for i, row, own in parts]
        yield [(i, delta) for i, (_, delta) in zip(going, taken, strict=True)]
        bar = _find_bar(answers, asking.wanted) if insist else -1.0
        if asking.verification is not None:
            _keep_ends(answers, going, bar, [token for token, _ in taken], rows.cache, positions)
        left = _find_contenders(answers, going, bar)
        positions = _keep_rows(rows.cache, positions, left)
        going = [going[n] for n in left]
        if going:
            ids = torch.stack([taken[n][0].view(1) for n in left])
            logits = predict_next(model, ids, rows.cache, around=around, positions=positions)
            logs = logits.log_softmax(-1)
            positions = None if positions is None else positions + 1
    for answer in answers:
        if asking.verification is not None and answer.end is not None:
            answer.verdict = verify(model, answer.end, asking.verification, around)
    if later:
        answers[0].refusal = _score_late(model, tail, refusal, asked, rows, around)
    return [answer.finish() for answer in answers]


def _note_odds(
    answers: Sequence[_Writing],
    questions: Sequence[float | None],
    logits: Tensor,
    refusal: Sequence[int],
    *,
    insist: bool,
) -> Tensor:
    """Note what is known of rows before they answer; return what they choose their first from."""
    first = logits[:, 0].clone()
    chances, refusing = score_refusal(logits, refusal)
    for answer, question, chance in zip(answers, questions, chances, strict=True):
        answer.question, answer.refusal = question, chance
    if insist:
        first[refusing, refusal[0]] = float("-inf")
    return first


def _score_late(
    model: PreTrainedModel,
    tail: Sequence[int],
    refusal: Sequence[int],
    asked: Tensor,
    rows: RowsContext,
    around: ForwardContext,
) -> float:
    """Return how likely a row refuses that competes with no other, and take its answer back.

    It decides nothing there, so that the first token need not wait for it.
    """
    if len(refusal) > 1:
        drop_tokens(rows.cache, rows.cache.get_seq_length() - rows.lengths[0] - len(tail))
        told = torch.tensor([list(refusal[:-1])], device=model.device)
        rest = predict_last(model, told, rows.cache, len(refusal) - 1, around=around)
        asked = torch.cat([asked, rest], dim=1)
    return score_refusal(asked, refusal)[0][0]


def _keep_rows(cache: Cache, positions: Tensor | None, left: Sequence[int]) -> Tensor | None:
    """Drop the rows of answers that are written, where there are several; return the positions."""
    if positions is None or len(left) == len(positions):
        return positions
    select_rows(cache, torch.tensor(left, dtype=torch.long, device=positions.device))
    return positions[left]


def _find_bar(answers: Sequence[_Writing], wanted: int) -> float:
    """Return the score of the last of the best answers that are finished, -1 with fewer."""
    scores = sorted((a.finish().score for a in answers if a.is_finished()), reverse=True)
    return scores[wanted - 1] if len(scores) >= wanted else -1.0


def _find_contenders(answers: Sequence[_Writing], going: Sequence[int], bar: float) -> list[int]:
    """Return which of the answers under way are written on, as indices into `going`."""
    # A score is at most what the refusal leaves.
    return [
        n
        for n, i in enumerate(going)
        if not answers[i].is_finished() and 1.0 - answers[i].refusal > bar
    ]


def _keep_ends(
    answers: Sequence[_Writing],
    going: Sequence[int],
    bar: float,
    tokens: Sequence[Tensor],
    cache: Cache,
    positions: Tensor | None,
) -> None:
    """Keep where the answers ended that are among the best so far, and forget the others."""
    for row, i in enumerate(going):
        if not answers[i].is_finished() or answers[i].finish().score < bar:
            continue
        if positions is None:
            answers[i].end = AnswerEnd(fork_cache(cache), int(tokens[row]), None)
        else:
            own = copy_rows(cache, torch.tensor([row], device=positions.device))
            answers[i].end = AnswerEnd(own, int(tokens[row]), positions[row])
    for answer in answers:
        if answer.is_finished() and answer.finish().score < bar:
            answer.end = None


@dataclass
class _Writing:
    """An answer that is being written."""

    writer: AnswerWriter
    refusal: float = 0.0
    logs: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    last: TextDelta | None = None
    verdict: float | None = None
    question: float | None = None
    end: AnswerEnd | None = None

    def add(self, logits: Tensor, logs: Tensor) -> tuple[Tensor, TextDelta]:
        """Choose the next token from logits ``(1, vocabulary)``; `logs` are the model's own."""
        token, self.last = self.writer.choose_token(logits)
        self.logs.append(float(logs[0, token]))
        self.texts.append(self.last.text)
        return token, self.last

    def is_finished(self) -> bool:
        """Return True if it is written to its end."""
        return self.last is not None and self.last.finish is not None

    def finish(self) -> Candidate:
        """Return the answer, as far as it was written."""
        assert self.last is not None
        likelihood = math.exp(sum(self.logs) / len(self.logs))
        text, finish = "".join(self.texts).lstrip(), self.last.finish
        complete = finish is not None
        return Candidate(
            text,
            likelihood,
            self.refusal,
            self.last.tokens,
            finish or "length",
            complete,
            self.verdict,
            self.question,
        )
