"""Finds out what the support of an answer is estimated from."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch

from pace_integrations.documents.quotes.words import content_keys, word_keys
from pace_integrations.library.blocks import Block
from pace_integrations.library.prepared import GroupReader
from pace_integrations.model.forward import predict_last


def measure_coverage(question: str, passages: Sequence[str]) -> float:
    """Return the share of a question's content words that passages hold."""
    asked, held = content_keys(question), word_keys("\n".join(passages))
    return len(asked & held) / max(1, len(asked))


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
