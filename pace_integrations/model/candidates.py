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
from pace_integrations.model.batch import select_rows
from pace_integrations.model.decode import AnswerWriter, TextDelta
from pace_integrations.model.forward import ForwardContext, predict_last, predict_next
from pace_integrations.model.kv_cache.cache import drop_tokens, fork_cache
from pace_integrations.model.pages import RowsContext
from pace_integrations.model.questions import ask_rows, is_segmented, score_refusal


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
class Verification:
    """What the model is asked right behind an answer.

    Attributes:
        ids: Token ids from the answer's end on, up to where the model says yes or no.
        yes: The token that confirms.
        no: The token that does not.
    """

    ids: Sequence[int]
    yes: int
    no: int


def write_candidates(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tail: Sequence[int],
    rows: RowsContext,
    config: GenerationConfig,
    *,
    refusal: Sequence[int],
    around: ForwardContext,
    insist: bool,
    verification: Verification | None = None,
    heard: range = range(0),
) -> Generator[list[tuple[int, TextDelta]], None, list[Candidate]]:
    """Ask every row the same question.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        tail: The prompt's tail with the question.
        rows: What the rows have read; it is extended.
        config: Length, sampling and stop strings of each answer.
        refusal: Token ids of the model's refusal, its end included.
        around: Makes the context that each forward runs in.
        insist: Whether rows compete. One that would refuse then gives its next best answer (how
            likely it refuses is known by then), and one that can no longer win is given up.
        verification: What the model is asked behind each answer, when all else is read already.
        heard: Where the question stands in the tail, if it matters how likely each row makes it.

    Yields:
        For every step the pieces of the answers still being written, with their row.

    Returns:
        The answers, by row.
    """
    answers = [_Writing(AnswerWriter(model, tokenizer, config)) for _ in rows.lengths]
    later = not insist and len(answers) == 1 and is_segmented(rows.cache)
    told = refusal[:1] if later else refusal
    questions, asked = ask_rows(model, tail, told, rows, around, heard)
    first = asked[:, 0] if later else _note_odds(answers, questions, asked, refusal, insist=insist)
    going = list(range(len(answers)))
    ends = torch.tensor(rows.lengths, device=model.device)[:, None] + len(tail)
    positions = ends if len(going) > 1 else None
    logits, logs = first, asked[:, 0].log_softmax(-1)
    while going:
        parts = zip(going, logits.split(1), logs.split(1), strict=True)
        taken = [answers[i].add(row, own) for i, row, own in parts]
        yield [(i, delta) for i, (_, delta) in zip(going, taken, strict=True)]
        said = [(taken[n][0], answers[i]) for n, i in enumerate(going)]
        _verify_finished(model, said, rows.cache, positions, verification, around)
        left = _find_contenders(answers, going, insist=insist)
        positions = _keep_rows(rows.cache, positions, left)
        going = [going[n] for n in left]
        if going:
            ids = torch.stack([taken[n][0].view(1) for n in left])
            logits = predict_next(model, ids, rows.cache, around=around, positions=positions)
            logs = logits.log_softmax(-1)
            positions = None if positions is None else positions + 1
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


def _find_contenders(
    answers: Sequence[_Writing], going: Sequence[int], *, insist: bool
) -> list[int]:
    """Return which of the answers under way are written on, as indices into `going`."""
    done = [answer.standing() for answer in answers if answer.is_finished()]
    bar = max(done, default=-1.0) if insist else -1.0
    # A score is at most what the refusal leaves.
    return [
        n
        for n, i in enumerate(going)
        if not answers[i].is_finished() and 1.0 - answers[i].refusal > bar
    ]


def _verify_finished(
    model: PreTrainedModel,
    said: Sequence[tuple[Tensor, _Writing]],
    cache: Cache,
    positions: Tensor | None,
    verification: Verification | None,
    around: ForwardContext,
) -> None:
    """Ask the model about the answers that have just ended; the cache stays as it is.

    Args:
        model: The model.
        said: Last token and answer of every row.
        cache: What was read and written, but for those tokens.
        positions: Their positions, None where there is one row.
        verification: What is asked.
        around: Makes the context that each forward runs in.
    """
    if verification is None:
        return
    for row, (token, answer) in enumerate(said):
        if not answer.is_finished():
            continue
        # An answer that was cut off has no end of its own, and the verification brings one.
        cut = [] if int(token) == verification.ids[0] else [int(token)]
        ids = torch.tensor([[*cut, *verification.ids]], device=model.device)
        places, twin = None, fork_cache(cache, None if positions is None else row)
        if positions is not None:
            places = positions[row] + torch.arange(ids.shape[1], device=model.device)[None]
        logits = predict_next(model, ids, twin, around=around, positions=places)
        both = logits[0, [verification.yes, verification.no]]
        answer.verdict = float(both.float().softmax(-1)[0])


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

    def add(self, logits: Tensor, logs: Tensor) -> tuple[Tensor, TextDelta]:
        """Choose the next token from logits ``(1, vocabulary)``; `logs` are the model's own."""
        token, self.last = self.writer.choose_token(logits)
        self.logs.append(float(logs[0, token]))
        self.texts.append(self.last.text)
        return token, self.last

    def is_finished(self) -> bool:
        """Return True if it is written to its end."""
        return self.last is not None and self.last.finish is not None

    def standing(self) -> float:
        """Return what others must be able to beat: the score, less where it is not confirmed."""
        return self.finish().score * (1.0 if self.verdict is None else self.verdict)

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
