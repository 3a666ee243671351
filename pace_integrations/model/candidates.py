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
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pace_integrations.answer import FinishReason
from pace_integrations.config import GenerationConfig
from pace_integrations.model.batch import select_rows
from pace_integrations.model.decode import AnswerWriter, TextDelta
from pace_integrations.model.forward import ForwardContext, predict_last, predict_next
from pace_integrations.model.kv_cache.cache import drop_tokens
from pace_integrations.model.pages import RowsContext


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer as one row gave it.

    Attributes:
        text: The answer.
        likelihood: Probability of its tokens, its end included: their geometric mean.
        refusal: Probability with which the row refuses to answer, word for word.
        tokens: Tokens written.
        finish: Why it ends.
    """

    text: str
    likelihood: float
    refusal: float
    tokens: int
    finish: FinishReason

    @property
    def score(self) -> float:
        """What candidates are compared by: (1 - refusal) times likelihood, 0 to 1."""
        return (1.0 - self.refusal) * self.likelihood


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
        insist: Whether a row that would refuse gives its next best answer instead: how likely it
            refuses is known by then, and a threshold can be set afterwards.

    Yields:
        For every step the pieces of the answers still being written, with their row.

    Returns:
        The answers, by row.
    """
    device, cache = model.device, rows.cache
    starts = torch.tensor(rows.lengths, device=device)[:, None]
    # Question and refusal go through the model together; the refusal is then taken back.
    fed = torch.tensor([[*tail, *refusal[:-1]]] * len(rows.lengths), device=device)
    steps = torch.arange(fed.shape[1], device=device)
    logits = predict_last(model, fed, cache, len(refusal), around=around, positions=starts + steps)
    drop_tokens(cache, len(refusal) - 1)
    refusals, refusing = _score_refusal(logits, refusal)
    first = logits[:, 0].clone()
    if insist:
        first[refusing, refusal[0]] = float("-inf")
    answers = [
        _Writing(AnswerWriter(model, tokenizer, config), chance) for chance in refusals.tolist()
    ]
    going, positions = list(range(len(answers))), starts + len(tail)
    logits, logs = first, logits[:, 0].log_softmax(-1)
    while going:
        parts = zip(going, logits.split(1), logs.split(1), strict=True)
        taken = [answers[i].add(row, own) for i, row, own in parts]
        yield [(i, delta) for i, (_, delta) in zip(going, taken, strict=True)]
        left = [n for n, (_, delta) in enumerate(taken) if delta.finish is None]
        if len(left) < len(taken):
            select_rows(cache, torch.tensor(left, dtype=torch.long, device=device))
            positions, going = positions[left], [going[n] for n in left]
        if going:
            ids = torch.stack([taken[n][0].view(1) for n in left])
            logits = predict_next(model, ids, cache, around=around, positions=positions)
            logs, positions = logits.log_softmax(-1), positions + 1
    return [answer.finish() for answer in answers]


def _score_refusal(logits: Tensor, refusal: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return how likely each row refuses ``(rows,)``, and which rows would ``(rows,)``."""
    wanted = torch.tensor(list(refusal), device=logits.device)
    chances = logits.log_softmax(-1)[:, torch.arange(len(refusal)), wanted]
    # The end does not count: a refusal that goes on is one too.
    refusing = (logits.argmax(-1) == wanted)[:, :-1].all(-1)
    return chances.sum(-1).exp(), refusing


@dataclass
class _Writing:
    """An answer that is being written."""

    writer: AnswerWriter
    refusal: float
    logs: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    last: TextDelta | None = None

    def add(self, logits: Tensor, logs: Tensor) -> tuple[Tensor, TextDelta]:
        """Choose the next token from logits ``(1, vocabulary)``; `logs` are the model's own."""
        token, self.last = self.writer.choose_token(logits)
        self.logs.append(float(logs[0, token]))
        self.texts.append(self.last.text)
        return token, self.last

    def finish(self) -> Candidate:
        """Return the answer."""
        assert self.last is not None
        assert self.last.finish is not None
        likelihood = math.exp(sum(self.logs) / len(self.logs))
        text = "".join(self.texts).lstrip()
        return Candidate(text, likelihood, self.refusal, self.last.tokens, self.last.finish)
