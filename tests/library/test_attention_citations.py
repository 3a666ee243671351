"""Where an answer names no page, the page that the model looked at is cited."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.library.describe import cite_blocks
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache.cache import new_cache
from pace_integrations.model.page_weights import weigh_pages
from pace_integrations.model.pages import SINKS

PLACES = ["harbor", "bakery", "castle"]


@pytest.fixture
def library(tmp_path: Path, reader: Pace) -> Library:
    made = Library.open(tmp_path / "lib", reader, profile=ReadingProfile(index_layers=(1, 2)))
    made.add(Corpus.from_texts({p: f"The {p} has an oak door and a bell." for p in PLACES}))
    return made


@pytest.mark.parametrize("kv", ["full", "int8"])
def test_weights_are_those_of_the_models_own_attention(reader: Pace, kv: str) -> None:
    model = reader.engine.loaded.model
    ids = torch.randint(5, 90, (1, 60), generator=torch.Generator().manual_seed(1))
    spans = [(6, 26), (26, 44)]
    heads = [(1, 0), (2, 1)]
    with torch.inference_mode():
        config = model.config
        before = config._attn_implementation
        config._attn_implementation = "eager"
        try:
            attentions = model(ids, output_attentions=True).attentions
        finally:
            config._attn_implementation = before
    groups = config.num_attention_heads // config.num_key_value_heads
    expected = []
    for start, end in spans:
        first, total = start + SINKS, 0.0
        for layer, head in heads:
            own = attentions[layer][0, head * groups : (head + 1) * groups, 50:, first:end]
            total += float(own.sum()) / 10
        expected.append(total / (end - first) ** 0.5)
    cache = new_cache(model, kv)
    for _ in prefill(model, ids[:, :50], cache, chunk=50, around=nullcontext):
        pass
    weights = weigh_pages(
        model, ids[0, 50:].tolist(), cache, spans,
        layers=(1, 2), heads=heads, around=nullcontext,
    )  # fmt: skip
    assert weights == pytest.approx(expected, rel=1e-4 if kv == "full" else 0.05)


def test_the_page_looked_at_is_cited_where_the_answer_names_none(library: Library) -> None:
    blocks = [scored.block for scored in library.find_pages("oak door", count=3).scored]
    assert len(blocks) == 3
    for place, block in enumerate(blocks):
        weights = [1.0 if i == place else 0.1 for i in range(3)]
        (citation,) = cite_blocks("An oak door", "What door?", blocks, weights)
        assert (citation.method, citation.passage) == ("attention", block.number)
        start, end = citation.span
        assert block.page.text[start:end] == citation.quote
        # A number that the model wrote is what it meant.
        (named,) = cite_blocks(f"An oak door [{blocks[0].number}]", "What door?", blocks, weights)
        assert (named.method, named.passage) == ("cited", blocks[0].number)


def test_a_page_without_any_word_of_the_answer_is_not_cited_for_a_look(library: Library) -> None:
    blocks = [scored.block for scored in library.find_pages("oak door", count=3).scored]
    castle = next(i for i, block in enumerate(blocks) if "castle" in block.page.text)
    weights = [0.0 if i == castle else 1.0 for i in range(3)]
    (citation,) = cite_blocks("castle", "Which place?", blocks, weights)
    assert (citation.method, citation.passage) == ("matched", blocks[castle].number)


@pytest.mark.parametrize("attention", ["pages", "full"])
def test_answers_without_numbers_look_at_their_pages(
    tmp_path: Path, reader: Pace, attention: str
) -> None:
    profile = ReadingProfile(index_layers=(1, 2))
    library = Library.open(tmp_path / "lib", reader, profile=profile, attention=attention)
    library.add(Corpus.from_texts({p: f"The {p} has an oak door and a bell." for p in PLACES}))
    short = GenerationConfig(max_new_tokens=8)
    options = {"strategy": "together", "generation": short, "passages": 3}
    answer = library.ask("What door?", **options)
    assert "[" not in answer.text
    (citation,) = answer.citations
    assert citation.method == "attention"
    assert citation.passage in {page.number for page in answer.selection.pages}
    # Looking changes nothing of the answer.
    library.profile = replace(profile, index_layers=())
    without = library.ask("What door?", selector="bm25", **options)
    assert without.text == answer.text
    assert all(found.method == "matched" for found in without.citations)
