"""Finds out what the support of an answer is estimated from."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from statistics import fmean

import torch

from pace_integrations.documents.quotes.sentences import split_sentences
from pace_integrations.documents.quotes.words import content_keys, word_keys
from pace_integrations.library.blocks import Block
from pace_integrations.library.prepared import GroupReader
from pace_integrations.library.profile import Signals
from pace_integrations.model.candidates import Candidate
from pace_integrations.model.forward import predict_last

_NEGATION = re.compile(
    r"\b(?:not|cannot|never|no|non|without|unable|un\w+able|fail\w*)\b|n['’]t\b", re.IGNORECASE
)


def is_negated_alone(question: str, passages: Sequence[str]) -> bool:
    """Return True if a question is negated and no sentence that fits it best is.

    Small models read over a "not": they answer which things are, asked which are not. English only.
    """
    if not _NEGATION.search(question):
        return False
    asked = content_keys(question)
    sentences = [text[a:b] for text in passages for a, b in split_sentences(text)]
    fits = [len(asked & word_keys(sentence)) for sentence in sentences]
    most = max(fits, default=0)
    best = [s for s, fit in zip(sentences, fits, strict=True) if fit == most]
    return not any(map(_NEGATION.search, best))


def measure_coverage(question: str, passages: Sequence[str]) -> float:
    """Return the share of a question's content words that passages hold."""
    asked, held = content_keys(question), word_keys("\n".join(passages))
    return len(asked & held) / max(1, len(asked))


def make_signals(
    question: str,
    texts: Sequence[str],
    candidate: Candidate,
    candidates: Sequence[Candidate],
    agreement: float | None,
) -> Signals:
    """Return what is known of an answer.

    Args:
        question: The question.
        texts: The passages that it was made from.
        candidate: The answer.
        candidates: All answers to the question, where passages were asked one by one.
        agreement: See `compare_answer`.
    """
    heard = [one.question for one in candidates if one.question is not None]
    own = candidate.question
    return Signals(
        candidate.likelihood,
        candidate.refusal,
        candidate.verdict,
        agreement,
        measure_coverage(question, texts),
        refusals=tuple(one.refusal for one in candidates),
        negated=is_negated_alone(question, texts),
        # A passage that answers makes the question's words likely; elsewhere they are a surprise.
        question_gain=own - fmean(heard) if own is not None else None,
        together=not candidates,
    )


def compare_answer(
    reader: GroupReader, tail: Sequence[int], blocks: Sequence[Block], answer: str
) -> Generator[int, None, float]:
    """Return the likelihood of an answer where all passages stand in one prompt.

    Args:
        reader: What makes contexts of passages.
        tail: Token ids of the prompt's tail with the question.
        blocks: The passages, in reading order.
        answer: The answer, without marks.
    """
    engine = reader.engine
    written = engine.prompts.encode_text(answer)
    if not written:
        return 0.0
    (prepared,) = yield from reader.prepare([blocks])
    ids = torch.tensor([[*tail, *written]], device=engine.loaded.model.device)
    logits = predict_last(
        engine.loaded.model, ids, prepared.rows.cache, len(written) + 1, around=prepared.around
    )
    logs = logits[0, :-1].log_softmax(-1).gather(1, ids[0, len(tail) :, None])
    return float(logs.mean().exp())
