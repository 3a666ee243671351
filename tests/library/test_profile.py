"""What a model was trained for stands beside its weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from masks import mask_blocks
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import ModelLoadError
from pace_integrations.library import Library, ReadingProfile
from pace_integrations.library.profile import FILE, Signals
from pace_integrations.model.questions import locate_question


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
            (page for page in answer.selection.pages if page.likelihood is not None),
            key=lambda page: page.likelihood * (1 - page.refusal),
        )
        estimated = library.profile.estimate_support(Signals(best.likelihood, best.refusal))
        assert answer.support == pytest.approx(estimated)
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
    assert plain.estimate_support(Signals(0.5, 0.2)) == pytest.approx(0.4)
    assert plain.is_supported(0.0) is None
    assert ReadingProfile(threshold=0.3).is_supported(0.2) is False
    weights = {
        "bias": 0.5,
        "log_likelihood": 2.0,
        "refusal_log_odds": -1.0,
        "verdict_log_odds": 1.0,
        "log_agreement": 3.0,
        "coverage": 4.0,
    }
    fitted = ReadingProfile(support=weights)
    assert (fitted.is_supported(0.4), fitted.is_supported(0.6)) == (False, True)
    odds = 0.5 + 2 * math.log(0.5) - math.log(0.2 / 0.8) + math.log(0.9 / 0.1)
    odds += 3 * math.log(0.4) + 4 * 0.75
    estimated = fitted.estimate_support(Signals(0.5, 0.2, 0.9, 0.4, 0.75))
    assert estimated == pytest.approx(1 / (1 + math.exp(-odds)))
    # Written from all passages, an answer agrees with them as far as it was likely.
    assert fitted.estimate_support(Signals(0.5, 0.2)) == fitted.estimate_support(
        Signals(0.5, 0.2, agreement=0.5)
    )
    # Others that were asked the same count by how likely they refuse.
    many = ReadingProfile(support={"mean_refusal_log_odds": 1.0})
    assert many.estimate_support(Signals(0.5, 0.2, refusals=(0.2, 0.8))) == pytest.approx(0.5)
    gain = ReadingProfile(support={"question_gain": 2.0})
    assert gain.estimate_support(Signals(0.5, 0.2, question_gain=1.0)) == pytest.approx(0.8807971)
    # What is not known weighs nothing.
    weights = {"verdict_log_odds": 1.0, "mean_refusal_log_odds": 1.0, "question_gain": 2.0}
    assert ReadingProfile(support=weights).estimate_support(Signals(0.5, 0.2)) == 0.5
    # Passages in one prompt have a curve of their own, if there is one.
    both = ReadingProfile(support={"bias": 1.0}, support_together={"bias": -1.0, "coverage": 2.0})
    assert both.estimate_support(Signals(0.5, 0.2)) == pytest.approx(0.7310586)
    assert both.estimate_support(Signals(0.5, 0.2, together=True)) == pytest.approx(0.2689414)
    assert fitted.estimate_support(Signals(0.5, 0.2, together=True)) == fitted.estimate_support(
        Signals(0.5, 0.2)
    )
    negated = ReadingProfile(support={"bias": 1.0, "negated": -2.0})
    sides = [negated.estimate_support(Signals(0.5, 0.2, negated=n)) for n in (False, True)]
    assert sum(sides) == pytest.approx(1.0)
    for signals in (Signals(0.0, 1.0, 0.0, 0.0), Signals(1.0, 0.0, 1.0, 1.0, 1.0)):
        assert 0.0 <= fitted.estimate_support(signals) <= 1.0


def test_agreement_is_the_answers_likelihood_among_all_passages(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "model", "llama")
    weights = {"bias": 0.0, "log_agreement": 1.0}
    (base / FILE).write_text(json.dumps({"index_layers": [1], "support": weights}))
    short = GenerationConfig(max_new_tokens=3)
    texts = {"a": "A bell rings.", "b": "The bell is a door."}
    with Pace.load(base, memory=None, dtype="float32") as pace:
        library = Library.open(tmp_path / "lib", pace)
        library.add(Corpus.from_texts(texts))
        answer = library.ask("What bell rings?", generation=short, strategy="each")
        prompts, model = pace.engine.prompts, pace.engine.loaded.model
        blocks = [prompts.encode_prefix()]
        for number, (title, text) in enumerate(texts.items(), 1):
            blocks.append(prompts.encode_passage(number, title, None, text))
        ids = [i for block in blocks for i in block] + prompts.encode_suffix("What bell rings?")
        written = prompts.encode_text(answer.text)
        mask = mask_blocks([len(block) for block in blocks], len(ids) + len(written))
        with torch.inference_mode():
            logits = model(torch.tensor([ids + written]), attention_mask=mask).logits[0]
        logs = logits[len(ids) - 1 : -1].log_softmax(-1)
    mean = sum(float(logs[i, token]) for i, token in enumerate(written)) / len(written)
    assert answer.support == pytest.approx(1 / (1 + math.exp(-mean)), abs=1e-4)


def test_coverage_is_the_share_of_the_questions_words(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "model", "llama")
    weights = {"bias": 0.0, "coverage": 1.0}
    (base / FILE).write_text(json.dumps({"index_layers": [1], "support": weights}))
    short = GenerationConfig(max_new_tokens=2)
    with Pace.load(base, memory=None) as pace:
        library = Library.open(tmp_path / "lib", pace)
        library.add(Corpus.from_texts({"a": "The red bell rings at noon."}))
        answer = library.ask("When does the blue bell ring at noon?", generation=short)
    # Of blue, bell, ring and noon the page has three.
    assert answer.support == pytest.approx(1 / (1 + math.exp(-0.75)), abs=1e-6)


@pytest.mark.parametrize(
    ("question", "page", "alone"),
    [
        ("Which bells do not ring?", "The red bells ring at noon.", True),
        ("Which bells don't ring?", "The red bells ring. The dog can not sing.", True),
        ("Which bells never ring?", "The blue bells ring. The red bells do not ring.", False),
        ("Who was unable to ring?", "Ann failed to ring the bell.", False),
        ("Which bells ring?", "The red bells do not ring.", False),
        ("Which notes of the nonagon ring?", "The notes ring.", False),
    ],
)
def test_a_negation_that_no_fitting_sentence_has_is_seen(
    tmp_path: Path, question: str, page: str, alone: bool
) -> None:
    base = save_tiny(tmp_path / "model", "llama")
    weights = {"bias": 1.0, "negated": -2.0}
    (base / FILE).write_text(json.dumps({"index_layers": [1], "support": weights}))
    short = GenerationConfig(max_new_tokens=8)
    with Pace.load(base, memory=None) as pace:
        library = Library.open(tmp_path / "lib", pace)
        library.add(Corpus.from_texts({"a": page}))
        for strategy in ("each", "together"):
            answer = library.ask(question, generation=short, strategy=strategy)
            assert answer.support == pytest.approx(1 / (1 + math.exp(1 if alone else -1)))


def test_all_passages_that_were_asked_count_by_their_refusal(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "model", "llama")
    short = GenerationConfig(max_new_tokens=3)
    supports = []
    for name in ("refusal_log_odds", "mean_refusal_log_odds"):
        (base / FILE).write_text(json.dumps({"index_layers": [1], "support": {name: 1.0}}))
        with Pace.load(base, memory=None, dtype="float32") as pace:
            found = []
            for number, texts in enumerate(
                [{"a": "Red."}, {"b": "Blue sea."}, {"a": "Red.", "b": "Blue sea."}]
            ):
                library = Library.open(tmp_path / f"{name}{number}", pace)
                library.add(Corpus.from_texts(texts))
                answer = library.ask("Red or blue?", generation=short, strategy="each")
                found.append(math.log(answer.support / (1 - answer.support)))
            supports.append(found)
    alone, mean = supports
    assert mean[:2] == pytest.approx(alone[:2], abs=1e-4)
    assert mean[2] == pytest.approx(sum(alone[:2]) / 2, abs=0.05)


def test_a_passage_gains_by_making_the_question_likelier_than_the_others(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "model", "llama")
    weights = {"question_gain": 1.0}
    (base / FILE).write_text(json.dumps({"index_layers": [1], "support": weights}))
    short = GenerationConfig(max_new_tokens=3)
    texts, question = {"a": "A bell rings.", "b": "The bell is a door."}, "What bell rings?"
    with Pace.load(base, memory=None, dtype="float32") as pace:
        library = Library.open(tmp_path / "lib", pace)
        library.add(Corpus.from_texts({"a": texts["a"]}))
        # One passage is no likelier than itself.
        assert library.ask(question, generation=short, strategy="each").support == 0.5
        library.add(Corpus.from_texts({"b": texts["b"]}))
        answer = library.ask(question, generation=short, strategy="each")
        prompts, model, scores = pace.engine.prompts, pace.engine.loaded.model, []
        for number, (title, text) in enumerate(texts.items(), 1):
            blocks = [prompts.encode_prefix(), prompts.encode_passage(number, title, None, text)]
            ids = [i for block in blocks for i in block]
            tail = prompts.encode_suffix(question)
            mask = mask_blocks([len(block) for block in blocks], len(ids) + len(tail))
            with torch.inference_mode():
                logits = model(torch.tensor([ids + tail]), attention_mask=mask).logits[0]
            logs = logits[len(ids) - 1 : -1].log_softmax(-1)
            heard = locate_question(prompts, question, tail)
            assert [tail[i] for i in heard] == prompts.encode_text(question)
            scores.append(sum(float(logs[i, tail[i]]) for i in heard))
    gains = [score - sum(scores) / 2 for score in scores]
    assert abs(gains[0]) > 1e-3
    assert math.log(answer.support / (1 - answer.support)) == pytest.approx(max(gains), abs=1e-2)
