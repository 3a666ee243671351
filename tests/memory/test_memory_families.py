"""One test for every family of dense decoders, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import FAMILIES, SHAPE, tiny_model
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    DynamicCache,
    PreTrainedModel,
)

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ModelPatchError
from pace_integrations.feed_forward import find_decoder, find_projections
from pace_integrations.memory import MemoryPatch, patch_model
from pace_integrations.model._transformers import cache_argument

CONFIG = MemoryConfig(slots=8, top_k=3, step=16, layers=(0, 2))
IDS = torch.randint(3, 128, (2, 60), generator=torch.Generator().manual_seed(0))
MIXTURES = {
    "mixtral": {},
    "qwen2_moe": {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {"moe_intermediate_size": 16, "num_experts": 4},
    "gpt_oss": {"num_local_experts": 4, "head_dim": 8},
    "olmoe": {"num_experts": 4},
    "granitemoe": {},
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
TOWERS = {
    "llava": ("llama", "clip_vision_model"),
    "gemma3": ("gemma3_text", "siglip_vision_model"),
    "mistral3": ("mistral", "pixtral"),
}


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


def remembers(model: PreTrainedModel) -> None:
    """Zero effect exact, effect present, chunks alike, removed without residue."""
    attributes = {name: sorted(vars(module)) for name, module in model.named_modules()}
    before, plain = hooks(model), model(IDS).logits
    with patch_model(model, MemoryConfig(slots=8, step=16, blend=0.0, layers=(0, 2))):
        assert torch.equal(model(IDS).logits, plain)
    with patch_model(model, CONFIG) as memory:
        whole = model(IDS).logits
        assert memory.state().positions == (60, 60)
        memory.reset()
        cache = DynamicCache(config=model.config)
        parts = [model(part, **cache_argument(model, cache)).logits for part in IDS.split(20, 1)]
    assert torch.equal(whole[:, :16], plain[:, :16])
    assert (whole - plain).abs().max() > 1e-2
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-3, atol=1e-3)
    assert hooks(model) == before
    assert {n: sorted(vars(m)) for n, m in model.named_modules()} == attributes
    assert torch.equal(model(IDS).logits, plain)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_dense_families(family: str) -> None:
    remembers(tiny_model(family))


@pytest.mark.parametrize("family", MIXTURES)
def test_mixtures_of_experts_are_refused(family: str) -> None:
    model = tiny_model(family, **MIXTURES[family])
    with pytest.raises(ModelPatchError, match=r"layer 0 .* is a mixture of experts.*memory=None"):
        MemoryPatch(model, CONFIG)
    assert hooks(model) == 0


def test_the_dense_layers_of_a_mixture_are_taken() -> None:
    model = tiny_model("qwen2_moe", **MIXTURES["qwen2_moe"], mlp_only_layers=[2])
    with torch.no_grad(), patch_model(model, MemoryConfig(layers=(2,), step=16)) as memory:
        model(IDS)
        assert memory.layers == (2,)


@pytest.mark.parametrize("family", TOWERS)
def test_multimodal_models_are_patched_in_their_language_tower(family: str) -> None:
    text, vision = TOWERS[family]
    config = AutoConfig.for_model(
        family,
        text_config={**SHAPE, "head_dim": 8, "model_type": text},
        vision_config={**VISION, "model_type": vision},
    )
    model = AutoModelForImageTextToText.from_config(config).eval()
    assert find_decoder(model) is model.model.language_model
    names = {module: name for name, module in model.named_modules()}
    found = [names[m] for m in find_projections(model, None).values()]
    assert found == [f"model.language_model.layers.{i}.mlp.down_proj" for i in (1, 3)]
    with torch.no_grad():
        plain = model(input_ids=IDS).logits
        with patch_model(model, CONFIG) as memory:
            assert not torch.equal(model(input_ids=IDS).logits, plain)
            assert memory.state().positions == (60, 60)


@pytest.mark.parametrize("kind", ["int8", "nf4"])
@torch.no_grad()
def test_quantized_layers(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    tiny_model("qwen2", hidden_size=64, intermediate_size=128).save_pretrained(tmp_path)
    how = (
        BitsAndBytesConfig(load_in_8bit=True)
        if kind == "int8"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    )
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=how)
    plain = model(IDS).logits
    with patch_model(model, CONFIG) as memory:
        logits = model(IDS).logits
        assert memory.state().bank(0).features == 128
    assert not torch.equal(logits, plain)
    assert torch.equal(model(IDS).logits, plain)


@torch.no_grad()
def test_weights_that_are_offloaded() -> None:
    accelerate = pytest.importorskip("accelerate")
    model = tiny_model("llama")
    with patch_model(model, CONFIG):
        expected = model(IDS).logits
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    with patch_model(model, CONFIG) as memory:
        assert next(model.model.layers[0].mlp.down_proj.parameters()).device.type == "meta"
        torch.testing.assert_close(model(IDS).logits, expected)
        assert memory.state().bank(0).state()["keys"].device.type == "cpu"


def test_a_layer_with_two_blocks_asks_for_their_names() -> None:
    model = tiny_model("llama")
    layer = model.model.layers[0]
    layer.second = tiny_model("llama").model.layers[0].mlp
    with pytest.raises(ModelPatchError, match=r"2 feed-forward blocks.*named_modules"):
        MemoryPatch(model, CONFIG)


def test_a_named_module_must_be_a_projection() -> None:
    model = tiny_model("llama", num_hidden_layers=1)
    with pytest.raises(ModelPatchError, match="LlamaMLP is not a linear projection"):
        MemoryPatch(model, MemoryConfig(layers=(0,)), modules=["model.layers.0.mlp"])
