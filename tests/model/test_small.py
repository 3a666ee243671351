"""pace-small, where its weights are: look-ups, refusals, and the same tokens as PEFT's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from example_questions import LOOKUPS, UNANSWERABLE
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pace_integrations import Corpus, GenerationConfig, Pace, Session
from pace_integrations.model.prompts import UNANSWERABLE as REFUSAL
from pace_integrations.model.registry import MODELS

pytestmark = pytest.mark.small_model
DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"
SHORT = GenerationConfig(max_new_tokens=32)


@pytest.fixture(scope="module")
def session(small_model: str) -> Iterator[Session]:
    with Pace.load(small_model, memory=None) as pace:
        yield pace.read(Corpus.from_paths(DOCUMENTS))


def test_it_is_the_default_where_it_is(
    small_model: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PACE_MODEL")
    with Pace.load(memory=None) as pace:
        assert pace.name == small_model
        assert pace.fingerprint == session.pace.fingerprint


def test_most_look_ups_are_right_and_cited(session: Session) -> None:
    answers = [session.ask(question, generation=SHORT) for question, *_ in LOOKUPS]
    right = [words in a.text for a, (_, words, *_) in zip(answers, LOOKUPS, strict=True)]
    assert sum(right) >= 12, right
    cited = [
        [(c.document, c.page, c.method) for c in answer.citations[:1]] == [(*place, "cited")]
        for answer, (_, _, *place) in zip(answers, LOOKUPS, strict=True)
    ]
    assert sum(cited) >= 14, cited


def test_what_the_documents_do_not_say_is_refused(session: Session) -> None:
    texts = [session.ask(question, generation=SHORT).text for question in UNANSWERABLE]
    assert sum(text.startswith(REFUSAL) for text in texts) >= 3, texts


def test_transformers_with_peft_write_the_same_tokens(session: Session) -> None:
    model = MODELS["pace-small"]
    dtype = getattr(torch, session.pace.fingerprint["dtype"])
    base = AutoModelForCausalLM.from_pretrained(model.checkpoint, dtype=dtype)
    adapted = PeftModel.from_pretrained(base, model.adapter).merge_and_unload().eval()
    tokenizer = AutoTokenizer.from_pretrained(model.checkpoint)
    prompts = session._engine.prompts
    read = prompts.encode_prefix()
    for p in session.passages:
        read += prompts.encode_passage(p.number, p.document.title, p.page.label, p.page.text)
    for question, *_ in LOOKUPS[:3]:
        ids = torch.tensor([read + prompts.encode_suffix(question)])
        out = adapted.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=32
        )
        expected = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        assert session.ask(question, generation=SHORT).text == expected.lstrip()
