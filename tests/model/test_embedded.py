"""The model in the package: an ordinary checkpoint that answers plain look-ups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from example_questions import LOOKUPS
from transformers import AutoModelForCausalLM, AutoTokenizer

from pace_integrations import Answer, Corpus, MemoryConfig, Pace
from pace_integrations.model.loading import EMBEDDED

DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"


@pytest.fixture(scope="module", params=["memory", "no memory"])
def answers(request: pytest.FixtureRequest) -> Iterator[list[Answer]]:
    memory = MemoryConfig() if request.param == "memory" else None
    with Pace.load("pace-nano", memory=memory) as pace:
        session = pace.read(Corpus.from_paths(DOCUMENTS))
        yield [session.ask(question) for question, *_ in LOOKUPS]


def test_it_is_an_ordinary_checkpoint() -> None:
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    messages = [{"role": "user", "content": "Hello"}]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    out = model.generate(ids, max_new_tokens=4, do_sample=False)
    assert out.shape[1] > ids.shape[1]
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) < 60e6


def test_most_look_ups_are_right(answers: list[Answer]) -> None:
    right = [words in a.text for a, (_, words, _, _) in zip(answers, LOOKUPS, strict=True)]
    assert sum(right) >= 11, right


def test_most_citations_are_right(answers: list[Answer]) -> None:
    right = [
        [(c.document, c.page) for c in answer.citations[:1]] == [(document, page)]
        for answer, (_, _, document, page) in zip(answers, LOOKUPS, strict=True)
    ]
    assert sum(right) >= 11, right


@pytest.mark.parametrize("index", [7, 14])
def test_the_quickstart_is_answered(answers: list[Answer], index: int) -> None:
    _, words, document, page = LOOKUPS[index]
    (citation,) = answers[index].citations
    assert words in answers[index].text
    assert (citation.document, citation.page, citation.method) == (document, page, "cited")
