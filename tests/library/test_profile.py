"""What a model was trained for stands beside its weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from checkpoints import save_tiny
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import ModelLoadError
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.library.profile import FILE


def test_a_checkpoint_says_how_it_reads(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", "llama")
    saved = {
        "index_layers": [1, 3],
        "threshold": 0.4,
        "selector": "fused",
        "temperature": 7,
        "verification": None,
    }
    (model / FILE).write_text(json.dumps(saved))
    with Pace.load(model, memory=None) as pace:
        library = Library.open(tmp_path / "lib", pace)
        assert library.profile == ReadingProfile((1, 3), "fused", threshold=0.4)
        assert (library.attention, library.exact) == ("pages", True)
        library.add(Corpus.from_texts({"a": "one", "b": "two"}))
        small = GenerationConfig(max_new_tokens=2)
        assert library.ask("one?", generation=small).selection.selector == "fused"
        full = Library.open(tmp_path / "lib", pace, attention="full")
        assert full.attention == "full"


def test_an_adapter_brings_its_profile_and_the_curve_of_support(tmp_path: Path) -> None:
    base, folder = save_tiny(tmp_path / "model", "llama"), tmp_path / "adapter"
    wanted = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), wanted).save_pretrained(folder)
    weights = {"bias": 0.5, "log_likelihood": 2.0, "refusal_log_odds": -1.0}
    (folder / FILE).write_text(json.dumps({"index_layers": [1], "support": weights}))
    short = GenerationConfig(max_new_tokens=2)
    with Pace.load(base, adapter=folder, memory=None) as pace:
        assert pace.engine.loaded.adapter_folder == folder
        library = Library.open(tmp_path / "lib", pace)
        library.add(Corpus.from_texts({"a": "A bell.", "b": "A door."}))
        answer = library.ask("What rings?", generation=short, strategy="each")
        best = max(
            library.profile.estimate_support(page.likelihood, page.refusal, None)
            for page in answer.selection.pages
            if page.likelihood is not None
        )
        assert answer.support == pytest.approx(best)
        assert answer.supported is (answer.support >= 0.5)
    # Without the adapter nobody knows.
    with Pace.load(base, memory=None) as pace:
        assert pace.engine.loaded.adapter_folder is None
        library = Library.open(tmp_path / "plain", pace)
        library.add(Corpus.from_texts({"a": "A bell."}))
        answer = library.ask("What rings?", generation=short)
        assert (answer.support, answer.supported) == (None, None)


@pytest.mark.parametrize("content", ["{", "[]", '{"index_layers": 3}'])
def test_a_profile_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    model = save_tiny(tmp_path / "model", "llama")
    (model / FILE).write_text(content)
    with (
        Pace.load(model, memory=None) as pace,
        pytest.raises(ModelLoadError, match=FILE),
    ):
        Library.open(tmp_path / "lib", pace)


def test_support_follows_a_fitted_curve_where_there_is_one() -> None:
    plain = ReadingProfile()
    assert plain.estimate_support(0.5, 0.2, None) == pytest.approx(0.4)
    assert plain.is_supported(0.0) is None
    assert ReadingProfile(threshold=0.3).is_supported(0.2) is False
    weights = {
        "bias": 0.5,
        "log_likelihood": 2.0,
        "refusal_log_odds": -1.0,
        "verdict_log_odds": 1.0,
    }
    fitted = ReadingProfile(support=weights)
    assert (fitted.is_supported(0.4), fitted.is_supported(0.6)) == (False, True)
    odds = 0.5 + 2 * math.log(0.5) - math.log(0.2 / 0.8) + math.log(0.9 / 0.1)
    assert fitted.estimate_support(0.5, 0.2, 0.9) == pytest.approx(1 / (1 + math.exp(-odds)))
    for likelihood, refusal, verdict in ((0.0, 1.0, 0.0), (1.0, 0.0, 1.0), (1e-300, 0.5, None)):
        assert 0.0 <= fitted.estimate_support(likelihood, refusal, verdict) <= 1.0
