"""Adapters in PEFT's format: merged at load, and the same tokens as PEFT gives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import get_args

import peft
import pytest
import torch
from checkpoints import save_tiny
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.config import Quantization
from pace_integrations.errors import (
    IncompatibleSessionError,
    MissingExtraError,
    ModelLoadError,
)

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHORT = GenerationConfig(max_new_tokens=16)
QUESTION = "Where is the oak?"
KINDS = {
    "plain": {},
    "one module": {"target_modules": ["down_proj"]},
    "rank stabilized": {"use_rslora": True},
    "patterns": {
        "rank_pattern": {"down_proj": 2, "layers.1.self_attn.q_proj": 3},
        "alpha_pattern": {"up_proj": 32},
    },
    # PEFT merges these; the merge of ours leaves them to it.
    "dora": {"use_dora": True},
    "bias": {"bias": "all"},
}


def save_adapter(base: Path, folder: Path, seed: int = 0, **settings: object) -> Path:
    """An adapter whose differences show in the answers."""
    torch.manual_seed(seed)
    wanted = {"r": 4, "lora_alpha": 8, "target_modules": ALL, "task_type": "CAUSAL_LM", **settings}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**wanted))
    for name, weight in model.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tiny_path, tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_transformers_with_peft(
    kind: str, tiny_path: Path, tmp_path: Path, corpus: Corpus
) -> None:
    folder = save_adapter(tiny_path, tmp_path, **KINDS[kind])
    with Pace.load(tiny_path, adapter=folder, memory=None) as pace:
        session = pace.read(corpus)
        text = session.ask(QUESTION, generation=SHORT).text
        prompts, tokenizer = pace._engine.prompts, pace._engine.loaded.tokenizer
        ids = prompts.encode_prefix()
        for p in session.passages:
            ids += prompts.encode_passage(p.number, p.document.title, p.page.label, p.page.text)
        ids += prompts.encode_suffix(QUESTION)
    base = AutoModelForCausalLM.from_pretrained(tiny_path)
    plain = base.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=16)
    adapted = PeftModel.from_pretrained(base, folder).eval()
    out = adapted.generate(input_ids=torch.tensor([ids]), do_sample=False, max_new_tokens=16)
    assert not torch.equal(out, plain)
    expected = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    assert text == expected.rstrip("\ufffd").lstrip()


def test_weights_are_rounded_once(tiny_path: Path, adapter: Path) -> None:
    with (
        Pace.load(tiny_path, adapter=adapter, memory=None) as exact,
        Pace.load(tiny_path, adapter=adapter, memory=None, dtype="bfloat16") as short,
        Pace.load(tiny_path, memory=None, dtype="bfloat16") as base,
    ):
        name = "model.layers.0.mlp.down_proj.weight"
        weights = [p._engine.loaded.model.get_parameter(name) for p in (exact, short, base)]
    error = (weights[1].float() - weights[0]).abs()
    # Half a unit of the base's rounding and half a unit of the sum's.
    unit = torch.finfo(torch.bfloat16).eps
    assert (error <= unit * (weights[2].float().abs() + weights[1].float().abs())).all()
    assert weights[1].dtype == torch.bfloat16


def test_layers_that_lie_the_other_way_round(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "base", "gpt2")
    folder = save_adapter(
        base, tmp_path / "adapter", target_modules=["c_attn", "c_fc"], fan_in_fan_out=True
    )
    with Pace.load(base, adapter=folder, memory=None) as pace:
        merged = pace._engine.loaded.model.state_dict()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    for name, weight in model.merge_and_unload().state_dict().items():
        torch.testing.assert_close(merged[name], weight)


def test_the_fingerprint_tells_adapters_apart_by_content(
    tiny_path: Path, adapter: Path, tmp_path: Path, corpus: Corpus
) -> None:
    other = save_adapter(tiny_path, tmp_path / "other", seed=1)
    moved = tmp_path / "moved"
    adapter_copy = {file.name: file.read_bytes() for file in adapter.iterdir() if file.is_file()}
    moved.mkdir()
    for name, content in adapter_copy.items():
        (moved / name).write_bytes(content)
    with Pace.load(tiny_path, adapter=adapter) as pace:
        session = pace.read(corpus)
        session.save(tmp_path / "a.pace")
        expected = session.ask(QUESTION, generation=SHORT).text
    with Pace.load(tiny_path, adapter=moved) as pace:
        assert pace.open(tmp_path / "a.pace").ask(QUESTION, generation=SHORT).text == expected
    for wrong in ({"adapter": other}, {}):
        with (
            Pace.load(tiny_path, **wrong) as pace,
            pytest.raises(IncompatibleSessionError, match="revision"),
        ):
            pace.open(tmp_path / "a.pace")


def test_a_saved_session_brings_its_adapter_along(
    tiny_path: Path, adapter: Path, tmp_path: Path, corpus: Corpus
) -> None:
    with Pace.load(tiny_path, adapter=adapter) as pace:
        session = pace.read(corpus)
        session.save(tmp_path / "a.pace")
        expected = session.ask(QUESTION, generation=SHORT).text
    opened = LazySession(session=tmp_path / "a.pace", model=tiny_path).session
    assert opened.ask(QUESTION, generation=SHORT).text == expected
    opened.pace.close()


@pytest.mark.parametrize("quantization", get_args(Quantization))
def test_what_was_merged_can_be_quantized(
    quantization: str, tmp_path: Path, corpus: Corpus
) -> None:
    # Quantization works on blocks of 64 and more.
    base = save_tiny(tmp_path / "base", hidden_size=128, intermediate_size=256, head_dim=32)
    folder = save_adapter(base, tmp_path / "adapter")
    texts, revisions = set(), set()
    for adapter in (None, folder, folder):
        with Pace.load(base, adapter=adapter, quantization=quantization, memory=None) as pace:
            texts.add(pace.read(corpus).ask(QUESTION, generation=SHORT).text)
            revisions.add(pace.fingerprint["revision"])
            kinds = {type(module).__name__ for module in pace._engine.loaded.model.modules()}
            assert kinds & {"Int8Linear", "Int4Linear", "Linear4bit"}
    assert len(texts) == len(revisions) == 2


def test_what_does_not_fit_is_refused_with_a_reason(
    tiny_path: Path, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelLoadError, match=r"no adapter .*adapter_config\.json"):
        Pace.load(tiny_path, adapter=tmp_path)
    with pytest.raises(ModelLoadError, match="no adapter 'nobody/no-such-adapter'"):
        Pace.load(tiny_path, adapter="nobody/no-such-adapter")
    wide = save_tiny(tmp_path / "wide", hidden_size=64, intermediate_size=128)
    with pytest.raises(ModelLoadError, match="made for another model"):
        Pace.load(wide, adapter=adapter)
    shallow = save_tiny(tmp_path / "shallow", num_hidden_layers=2)
    with pytest.raises(ModelLoadError, match=r"layers\.2.*made for another model"):
        Pace.load(shallow, adapter=adapter)


def test_a_damaged_adapter_is_refused(tiny_path: Path, adapter: Path, tmp_path: Path) -> None:
    config, weights = tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors"
    whole = (adapter / weights.name).read_bytes()
    for text, content in (
        ((adapter / config.name).read_text(), whole[: len(whole) // 2]),
        ("[]", whole),
        ("{", whole),
    ):
        config.write_text(text)
        weights.write_bytes(content)
        with pytest.raises(ModelLoadError, match=r"cannot use the adapter") as error:
            Pace.load(tiny_path, adapter=tmp_path)
        assert "\n" not in str(error.value)
    config.write_text((adapter / config.name).read_text())
    odd = {**load_file(adapter / weights.name), "something.else": torch.zeros(1)}
    save_file(odd, weights)
    with pytest.raises(ModelLoadError, match=r"'something\.else'"):
        Pace.load(tiny_path, adapter=tmp_path)


def test_without_peft_plain_adapters_load_and_others_name_the_extra(
    tiny_path: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dora = save_adapter(tiny_path, tmp_path, use_dora=True)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "peft" else real(name, *a)
    )
    monkeypatch.delattr(peft, "PeftModel")
    with Pace.load(tiny_path, adapter=adapter, memory=None) as pace:
        assert pace.fingerprint["adapter"] == str(adapter)
    with pytest.raises(MissingExtraError, match=r"pace-integrations\[peft\]"):
        Pace.load(tiny_path, adapter=dora)


def test_settings_that_change_nothing_leave_the_merge_to_us(adapter: Path) -> None:
    """What PEFT writes by itself into the configuration of a plain adapter is no other kind."""
    from pace_integrations.model.peft_adapter import _is_plain_lora

    assert _is_plain_lora(json.loads((adapter / "adapter_config.json").read_text()))
