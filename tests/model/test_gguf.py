"""GGUF files: read as they were written, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from gguf_files import llama_with_tokenizer, write_gguf
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import MissingExtraError, ModelLoadError
from pace_integrations.model.gguf import convert_gguf

TEXT = "The gate opens at 7:30, and the oven is a Marlow 200.\n\n<|im_start|> Bäckerei"
SHORT = GenerationConfig(max_new_tokens=12)


@pytest.fixture(scope="module")
def source() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return llama_with_tokenizer()


@pytest.fixture(scope="module")
def file(source: tuple[PreTrainedModel, PreTrainedTokenizerFast], tmp_path_factory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", *source, quantized=False)


@pytest.fixture(scope="module")
def checkpoint(source: tuple[PreTrainedModel, PreTrainedTokenizerFast], tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    for part in source:
        part.save_pretrained(folder)
    return folder


def test_a_file_is_the_model_that_it_was_written_from(
    file: Path, checkpoint: Path, corpus: Corpus
) -> None:
    with Pace.load(file, memory=None) as read, Pace.load(checkpoint, memory=None) as plain:
        assert read.token_ids(TEXT) == plain.token_ids(TEXT)
        ids = torch.tensor([plain.token_ids(TEXT)])
        models = [pace._engine.loaded.model for pace in (read, plain)]
        with torch.no_grad():
            torch.testing.assert_close(models[0](ids).logits, models[1](ids).logits)
        answers = [
            pace.read(corpus).ask("Where is the oak?", generation=SHORT) for pace in (read, plain)
        ]
        assert answers[0].text == answers[1].text
        assert answers[0].usage == answers[1].usage


def test_its_sessions_are_saved_and_opened_like_any_others(
    file: Path, corpus: Corpus, tmp_path: Path
) -> None:
    with Pace.load(file) as pace:
        session = pace.read(corpus)
        session.save(tmp_path / "a.pace")
        question = "Where is the oak?"
        expected = session.ask(question, generation=SHORT).text
        assert pace.open(tmp_path / "a.pace").ask(question, generation=SHORT).text == expected


def test_quantized_weights_are_expanded(
    source: tuple[PreTrainedModel, PreTrainedTokenizerFast], file: Path, tmp_path: Path
) -> None:
    packed = write_gguf(tmp_path / "packed.gguf", *source, quantized=True)
    assert packed.stat().st_size < file.stat().st_size / 2
    with Pace.load(packed, memory=None) as pace:
        model = pace._engine.loaded.model
        for name, weight in source[0].state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], weight, rtol=0, atol=0.01)
        assert pace.fingerprint["quantization"] is None


def test_the_fingerprint_follows_the_file_not_its_name(file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.gguf"
    moved.write_bytes(file.read_bytes())
    revisions = []
    for path in (file, moved):
        with Pace.load(path, memory=None) as pace:
            revisions.append(pace.fingerprint["revision"])
    assert revisions[0] == revisions[1]
    assert revisions[0].startswith("sha256:")


def test_a_conversion_is_a_checkpoint(file: Path, tmp_path: Path) -> None:
    convert_gguf(file, tmp_path / "made")
    options = {"memory": None, "dtype": "bfloat16"}
    with Pace.load(tmp_path / "made", **options) as made, Pace.load(file, **options) as read:
        assert made.token_ids(TEXT) == read.token_ids(TEXT)
        weights = [pace._engine.loaded.model.state_dict() for pace in (made, read)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
        ends = [pace._engine.loaded.tokenizer.eos_token for pace in (made, read)]
        assert ends == ["<|im_end|>"] * 2


def test_what_cannot_be_read_is_refused_with_a_reason(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelLoadError, match=r"there is no GGUF file 'none\.gguf'"):
        Pace.load("none.gguf")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelLoadError, match=r"damaged\.gguf"):
        Pace.load(damaged)
    with pytest.raises(ModelLoadError, match=r"damaged\.gguf"):
        convert_gguf(damaged, tmp_path / "made")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pace-integrations\[gguf\]'"):
        Pace.load(file)
