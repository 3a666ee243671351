"""Checkpoints load by the published names, and say what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pace_integrations.ahn import (
    KINDS,
    AHNConfig,
    ArtificialHippocampus,
    load_weights,
    save_weights,
)
from pace_integrations.ahn.checkpoint import resize_window
from pace_integrations.errors import ConfigError, ModelLoadError

H, D, SIZE = 4, 32, 8
# As the model cards and the authors' modules give them.
PUBLISHED = {
    "gdn": {
        "A_log": (H,),
        "D": (H,),
        "dt_bias": (H,),
        "a_proj.weight": (H, D),
        "b_proj.weight": (H, D),
        "g_proj.weight": (H, D),
        "o_norm.weight": (SIZE,),
        "o_proj.weight": (H, SIZE, SIZE),
    },
    "dn": {
        "b_proj.weight": (H, D),
        "g_proj.weight": (H, D),
        "o_norm.weight": (SIZE,),
        "o_proj.weight": (H, SIZE, SIZE),
    },
    "mamba2": {
        "A_log": (H,),
        "dt_bias": (H,),
        "dt_proj.weight": (H, D),
        "dt_proj.bias": (H,),
        "g_proj.weight": (H, D),
        "g_proj.bias": (H,),
        "norm.weight": (H * SIZE,),
        "o_proj.weight": (H, SIZE, SIZE),
    },
}


def networks(kind: str, layers: int = 2) -> dict[int, ArtificialHippocampus]:
    return {i: ArtificialHippocampus(H, SIZE, D, kind) for i in range(layers)}


def write_published(folder: Path, kind: str, layers: int = 2, **told: object) -> dict[str, Tensor]:
    """A checkpoint as the authors save it, in bfloat16."""
    torch.manual_seed(1)
    tensors = {
        f"model.layers.{i}.ahn.fn.{name}": torch.randn(shape).bfloat16()
        for i in range(layers)
        for name, shape in PUBLISHED[kind].items()
    }
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "qwen2",
        "_layer_implementation": "Qwen2MemDecoderLayer",
        "_ahn_implementation": KINDS[kind].upstream,
        "num_attn_sinks": 8,
        "sliding_window": 56,
        "fa_layer_ids": "",
        "use_ahn_router": False,
        **told,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_checkpoint_loads(kind: str, tmp_path: Path) -> None:
    tensors = write_published(tmp_path, kind)
    weights, made = load_weights(tmp_path), networks(kind)
    weights.load_into(made)
    assert weights.config == AHNConfig(kind, sinks=8, window=56)  # type: ignore[arg-type]
    for name, tensor in tensors.items():
        layer, own = name.removeprefix("model.layers.").split(".ahn.")
        got = made[int(layer)].state_dict()[own]
        assert got.dtype == torch.float32
        assert torch.equal(got, tensor.float())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_is_published(kind: str, tmp_path: Path) -> None:
    config, made = AHNConfig(kind, 4, 60), networks(kind)  # type: ignore[arg-type]
    save_weights(tmp_path, made, config, dtype=torch.bfloat16)
    names = {f"model.layers.{i}.ahn.fn.{name}" for i in range(2) for name in PUBLISHED[kind]}
    assert set(load_file(tmp_path / "model.safetensors")) == names
    again, weights = networks(kind), load_weights(tmp_path)
    weights.load_into(again)
    assert weights.config == config
    for layer in made:
        for name, tensor in made[layer].state_dict().items():
            rounded = tensor.bfloat16().float() if tensor.ndim > 1 else tensor
            assert torch.equal(again[layer].state_dict()[name], rounded)


def test_what_does_not_fit_is_counted_and_named(tmp_path: Path) -> None:
    write_published(tmp_path, "gdn")
    weights = load_weights(tmp_path)
    with pytest.raises(
        ModelLoadError, match=r"8 missing, such as model\.layers\.2\.ahn\.fn\.A_log"
    ):
        weights.load_into(networks("gdn", layers=3))
    with pytest.raises(
        ModelLoadError, match=r"8 unknown, such as model\.layers\.1\.ahn\.fn\.A_log"
    ):
        weights.load_into(networks("gdn", layers=1))
    other = {i: ArtificialHippocampus(H, SIZE, D + 1) for i in range(2)}
    with pytest.raises(ModelLoadError, match="6 of another shape"):
        weights.load_into(other)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"_ahn_implementation": "RWKV"}, "RWKV"),
        ({"fa_layer_ids": "0,7"}, "fa_layer_ids"),
        ({"use_ahn_router": True}, "router"),
        ({"sliding_window": -1}, "window"),
    ],
)
def test_other_layouts_are_refused(told: dict[str, object], message: str, tmp_path: Path) -> None:
    write_published(tmp_path, "gdn", **told)
    with pytest.raises(ModelLoadError, match=message):
        load_weights(tmp_path)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"config\.json is missing"):
        load_weights(tmp_path)
    write_published(tmp_path, "dn")
    save_file({"model.norm.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"model\.norm\.weight"):
        load_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelLoadError, match="cannot use"):
        load_weights(tmp_path)


def test_a_context_sets_the_window() -> None:
    config = AHNConfig("gdn", sinks=8, window=56)
    assert resize_window(config, None) == config
    assert resize_window(config, 100) == AHNConfig("gdn", sinks=8, window=92)
    with pytest.raises(ConfigError, match="at least 16"):
        resize_window(config, 15)
