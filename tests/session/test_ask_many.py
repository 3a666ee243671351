"""Questions asked together are answered as if each were asked alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from checkpoints import byte_tokenizer, save_tiny
from tiny import FAMILIES, tiny_model

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace, Session
from pace_integrations.errors import ConfigError, QuestionError
from pace_integrations.model.batch import can_batch, decode_batch
from pace_integrations.model.decode import decode_answer
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache.attention import can_segment
from pace_integrations.model.kv_cache.cache import fork_cache, new_cache
from pace_integrations.model.kv_cache.segments import SegmentLayer

TOKENIZER = byte_tokenizer()

QUESTIONS = [
    "Where is the oak?",
    "When?",
    "What is the oven called, and on which day of the week is bread baked in it?",
    "Who holds the key to the trunks in the attic?",
    "Is there a pond?",
]
SHORT = GenerationConfig(max_new_tokens=10)


@pytest.fixture(scope="module", params=["qwen3", "llama", "mistral"])
def session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, corpus: Corpus
) -> Iterator[Session]:
    """Two families whose rows share a cache, and one with windows, whose rows cannot."""
    extra = {"sliding_window": 64} if request.param == "mistral" else {}
    path = save_tiny(tmp_path_factory.mktemp(request.param), request.param, **extra)
    with Pace.load(path, memory=MemoryConfig(step=32, slots=16, layers=(0, 2))) as pace:
        yield pace.read(corpus)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_together_as_alone(session: Session, batch: int) -> None:
    together = session.ask_many(QUESTIONS, generation=SHORT, batch=batch)
    for question, answer in zip(QUESTIONS, together, strict=True):
        alone = session.ask(question, generation=SHORT)
        assert (answer.text, answer.citations, answer.usage, answer.finish_reason) == (
            alone.text,
            alone.citations,
            alone.usage,
            alone.finish_reason,
        )
        assert answer.memory is None


def test_seeds_and_stop_strings_hold_for_each(session: Session) -> None:
    sampled = GenerationConfig(max_new_tokens=10, temperature=1.5, seed=3, stop=("e", "a"))
    together = session.ask_many(QUESTIONS, generation=sampled)
    alone = [session.ask(question, generation=sampled) for question in QUESTIONS]
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.usage for a in together] == [a.usage for a in alone]


def test_nothing_is_asked_when_one_question_is_bad(session: Session) -> None:
    with pytest.raises(QuestionError):
        session.ask_many(["Where is the oak?", " "])
    with pytest.raises(ConfigError, match="batch"):
        session.ask_many(QUESTIONS, batch=0)
    assert session.ask_many([]) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_every_family_that_can_share(family: str) -> None:
    model = tiny_model(family, vocab_size=len(TOKENIZER))
    base = new_cache(model)
    ids = torch.randint(3, 128, (1, 20), generator=torch.Generator().manual_seed(0))
    for _ in prefill(model, ids, base, chunk=20, around=nullcontext):
        pass
    tails = [TOKENIZER.encode(text) for text in ("?", "where", "what is it")]
    if not can_batch(model, base):
        assert not can_segment(model) or type(base.layers[0]) is not SegmentLayer
        return
    texts = dict.fromkeys(range(len(tails)), "")
    for step in decode_batch(model, TOKENIZER, tails, fork_cache(base), SHORT, around=nullcontext):
        for i, piece in step:
            texts[i] += piece.text
    for i, tail in enumerate(tails):
        alone = decode_answer(
            model, TOKENIZER, tail, fork_cache(base), SHORT, chunk=64, around=nullcontext
        )
        assert texts[i] == "".join(piece.text for piece in alone)
