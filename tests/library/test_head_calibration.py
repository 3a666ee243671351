"""Heads whose keys find pages are found on made-up questions, kept, and used by libraries."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import ConfigError, ModelLoadError
from pace_integrations.library import Library, ReadingProfile, SearchView, calibrate_heads
from pace_integrations.library.head_calibration import choose_heads, make_rows
from pace_integrations.library.selectors import Bm25Selector

SHORT = GenerationConfig(max_new_tokens=4)
PLACES = ["harbor", "bakery", "station", "castle"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))


def test_rows_ask_in_other_words_for_what_one_page_tells() -> None:
    corpus, rows = make_rows(60, seed=3)
    (document,) = corpus.documents
    pages = [page.text for page in document.pages]
    assert len({question for question, _ in rows}) == 60
    for question, page in rows:
        name = next(n for n in ("Keller", "Brandt", "Dubois", "Novak", "Lind", "Orlov", "Rossi",
                                "Stein") if n in question)  # fmt: skip
        assert name in pages[page]
        assert sum(name in text for text in pages) > 3  # the name alone does not tell the page
    lengths = [len(text) for text in pages]
    assert max(lengths) < 1.6 * min(lengths)
    assert max(Counter(page for _, page in rows).values()) <= 3
    assert make_rows(60, seed=3)[1] == rows != make_rows(60, seed=4)[1]


def test_the_heads_that_rank_the_page_first_are_chosen() -> None:
    noise = torch.rand(12, 9, 6, generator=torch.Generator().manual_seed(0))
    gold = torch.arange(12) % 9
    scores = noise.clone()
    scores[torch.arange(12), gold, 4] += 1.0
    assert choose_heads(scores, gold) == [4]
    # Two heads of which each knows half of the pages are better together.
    scores = noise / 10
    scores[torch.arange(12), gold, torch.where(gold < 4, 1, 5)] += 1.0
    assert sorted(choose_heads(scores, gold)) == [1, 5]


def test_a_model_not_trained_for_pages_finds_them_by_the_heads_chosen(
    tmp_path: Path, reader: Pace
) -> None:
    with pytest.raises(ConfigError, match="pace calibrate --heads"):
        Library.open(tmp_path / "lib", reader, selector="fused")
    found = calibrate_heads(reader, questions=12)
    assert found.path is not None
    assert found.path.is_relative_to(tmp_path / "home" / "heads")
    assert set(found.recall) == {"heads", "all heads", "bm25", "fused"}
    assert all(0 <= share <= 1 for share in found.recall.values())
    again = calibrate_heads(reader, questions=12, save=False)
    assert (again.profile, again.recall, again.path) == (found.profile, found.recall, None)
    assert found.profile.index_heads
    assert {layer for layer, _ in found.profile.index_heads} == set(found.profile.index_layers)

    library = Library.open(tmp_path / "lib", reader, selector="heads")
    assert (library.profile, library.attention, library.exact) == (found.profile, "full", True)
    assert library.add(Corpus.from_texts({p: f"The {p} has a bell." for p in PLACES})).read > 0
    text = "The castle has a bell."
    assert library.find_pages(text, count=1).scored[0].block.document.title == "castle"
    answer = library.ask("Where is a bell?", generation=SHORT)
    assert answer.selection.selector == "heads"
    # Words alone keep no index, and say how to get one.
    plain = Library.open(tmp_path / "plain", reader)
    assert plain.add(Corpus.from_texts({"a": "A bell."})).read == 0
    with pytest.raises(ConfigError, match="open it with selector='heads'"):
        plain.ask("Where is a bell?", selector="heads")
    # What one process read the next one finds, and states are none of it.
    assert Library.open(tmp_path / "lib", reader, selector="heads").stats().unread == 0
    assert library.stats().store.state_bytes == 0


def test_indexes_of_other_heads_do_not_mix(tmp_path: Path, reader: Pace) -> None:
    for heads in (((1, 0),), ((1, 1), (2, 0))):
        profile = ReadingProfile(index_layers=(1, 2), index_heads=heads, by_page=False)
        library = Library.open(tmp_path / "lib", reader, profile=profile, selector="heads")
        library.add(Corpus.from_texts({p: f"The {p} has a bell." for p in PLACES}))
        assert library.stats().unread == 0
        assert len(library.find_pages("The castle has a bell.", count=4).scored) == 4
        seen: list[SearchView] = []
        library.find_pages("Bell?", selector=lambda v, s=seen: s.append(v) or Bm25Selector(v))
        shapes = {seen[0].vectors(block).shape[1] for block in seen[0].blocks}
        assert shapes == {len(heads)}


def test_a_profile_is_kept_as_it_is(tmp_path: Path, reader: Pace) -> None:
    profile = ReadingProfile(index_layers=(2,), index_heads=((2, 1),), by_page=False)
    assert ReadingProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile
    with pytest.raises(ValueError, match="index_heads"):
        ReadingProfile.from_dict({"index_layers": [1], "index_heads": [[2, 0]]})
    found = calibrate_heads(reader, questions=8)
    found.path.write_text("{")
    with pytest.raises(ModelLoadError, match="cannot be read"):
        Library.open(tmp_path / "lib", reader)


def test_too_few_questions_are_refused(reader: Pace) -> None:
    with pytest.raises(ConfigError, match="at least 8"):
        calibrate_heads(reader, questions=7)
