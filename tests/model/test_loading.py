"""Loading models: names, paths, precision, quantization, and what goes wrong."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from checkpoints import save_tiny

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.config import Quantization
from pace_integrations.errors import ConfigError, MissingExtraError, ModelLoadError
from pace_integrations.model import model_files
from pace_integrations.model.registry import MODELS

SHORT = GenerationConfig(max_new_tokens=8)


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_an_unknown_name_is_named_with_the_next_step() -> None:
    with pytest.raises(ModelLoadError) as error:
        Pace.load("nobody/no-such-model")
    assert "'nobody/no-such-model'" in one_line(error)
    assert "check the name" in one_line(error)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="empty"):
        Pace.load("")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError) as error:
        Pace.load(tmp_path)
    assert "config.json" in one_line(error)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelLoadError) as error:
        Pace.load(folder)
    assert str(folder) in one_line(error)


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "made-up"}))
    with pytest.raises(ModelLoadError):
        Pace.load(folder)


@pytest.mark.parametrize("options", [{"quantization": "int3"}, {"dtype": "int8"}, {"dtype": "?"}])
def test_unknown_words_are_refused(tiny_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Pace.load(tiny_path, **options)


def test_quantizing_without_the_extra_names_it(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pace-integrations\[quant\]'"):
        Pace.load(tiny_path, quantization="nf4")


def test_a_missing_embedded_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(MODELS["pace-nano"], folder=tmp_path)
    monkeypatch.setattr(model_files, "MODELS", {**MODELS, "pace-nano": gone})
    with pytest.raises(ModelLoadError, match="pace-nano is missing from this installation"):
        Pace.load("pace-nano")


@pytest.mark.parametrize(
    "options", [{"dtype": "bfloat16"}, *({"quantization": q} for q in get_args(Quantization))]
)
def test_other_precisions_read_and_answer_the_same_twice(
    tmp_path: Path, corpus: Corpus, options: dict[str, str]
) -> None:
    # Quantisation works on blocks of 64 and more.
    folder = save_tiny(tmp_path, hidden_size=128, intermediate_size=256, head_dim=32)
    with Pace.load(folder, memory=MemoryConfig(step=64, layers=(0,)), **options) as pace:
        session = pace.read(corpus)
        texts = [session.ask("Where is the oak?", generation=SHORT).text for _ in range(2)]
        assert texts[0] == texts[1]
        assert pace.fingerprint["quantization"] == options.get("quantization")
        assert pace.fingerprint["dtype"] == "bfloat16"


def test_a_dtype_may_be_torchs(tiny_path: Path) -> None:
    with Pace.load(tiny_path, dtype=torch.bfloat16) as pace:
        assert pace.fingerprint["dtype"] == "bfloat16"
