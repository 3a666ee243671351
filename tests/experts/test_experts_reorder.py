"""Reordering changes no answer, comes off without a trace, and picks up where it stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny import FAMILIES, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from pace_integrations import ExpertConfig, MemoryConfig
from pace_integrations.errors import ConfigError, ModelPatchError
from pace_integrations.experts import reorder_neurons
from pace_integrations.experts.permute import invert_order, permute_neurons
from pace_integrations.feed_forward import find_blocks
from pace_integrations.memory import patch_model

IDS = torch.randint(3, 128, (2, 40), generator=torch.Generator().manual_seed(0))
CONFIG = ExpertConfig(experts=8)
# Gated, gated under other names, fused, ungated with biases, transposed, and without a gate.
SIX = ["llama", "lfm2", "phi3", "opt", "gpt2", "bloom"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "cache"))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model: nn.Module, before: dict[str, Tensor]) -> bool:
    now = model.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[n], before[n]) for n in before)


def gates(model: nn.Module) -> list[Tensor]:
    return [block.inputs[0].get_parameter("weight") for block in find_blocks(model)]


def biased(model: PreTrainedModel) -> PreTrainedModel:
    """A fresh model's biases are all zero; these are not."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_reordered_model_answers_alike_and_restores_bit_for_bit(family: str) -> None:
    model = biased(tiny_model(family))
    before, logits = weights(model), model(IDS).logits
    how = CONFIG if family in SIX else ExpertConfig(experts=8, by="random")
    done = reorder_neurons(model, how)
    assert len(done.orders) == 4
    assert not same(model, before)
    torch.testing.assert_close(model(IDS).logits, logits, rtol=0, atol=1e-4)
    done.restore()
    assert same(model, before)
    done.restore()
    assert same(model, before)


@torch.no_grad()
def test_every_tensor_of_a_block_moves() -> None:
    model = biased(tiny_model("opt"))
    before = [weights(layer) for layer in model.model.decoder.layers]
    orders = reorder_neurons(model, CONFIG).orders
    for i, layer in enumerate(model.model.decoder.layers):
        old, order = before[i], orders[i]
        assert torch.equal(layer.fc1.weight, old["fc1.weight"][order])
        assert torch.equal(layer.fc1.bias, old["fc1.bias"][order])
        assert torch.equal(layer.fc2.weight, old["fc2.weight"][:, order])
        assert torch.equal(layer.fc2.bias, old["fc2.bias"])


@torch.no_grad()
def test_a_norm_inside_the_block_moves_along() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj = nn.Linear(32, 96, bias=False)
            self.up_proj = nn.Linear(32, 96, bias=False)
            self.norm = nn.RMSNorm(96)
            self.down_proj = nn.Linear(96, 32, bias=False)
            self.norm.weight.data.uniform_(0.5, 2.0)

        def forward(self, x: Tensor) -> Tensor:
            gated = nn.functional.silu(self.gate_proj(x)) * self.up_proj(x)
            return self.down_proj(self.norm(gated))

    model = tiny_model("llama")
    for layer in model.model.layers:
        layer.mlp = Inner()
    before, logits = weights(model), model(IDS).logits
    done = reorder_neurons(model, CONFIG)
    torch.testing.assert_close(model(IDS).logits, logits, rtol=0, atol=1e-4)
    done.restore()
    assert same(model, before)


@torch.no_grad()
def test_experts_are_side_by_side_and_alike() -> None:
    model = tiny_model("llama")
    truth = torch.arange(8).repeat(12)
    for gate in gates(model):
        gate.copy_(torch.eye(8, 32)[truth] + 0.01 * torch.randn(96, 32))
    reorder_neurons(model, CONFIG)
    for gate in gates(model):
        kinds = gate.argmax(1).view(8, 12)
        assert (kinds == kinds[:, :1]).all()
        assert kinds[:, 0].unique().numel() == 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_is_restored_bit_for_bit(dtype: torch.dtype) -> None:
    model = tiny_model("qwen3").to(dtype)
    before = weights(model)
    reorder_neurons(model, CONFIG).restore()
    assert same(model, before)


@torch.no_grad()
def test_the_memory_sees_the_same_tokens_in_another_order() -> None:
    settings = MemoryConfig(slots=8, top_k=3, step=16, layers=(0, 2))
    model = tiny_model("llama")
    with patch_model(model, settings) as memory:
        logits = model(IDS).logits
        keys = memory.state().bank(2).state()["keys"]
    order = reorder_neurons(model, CONFIG).orders[2]
    with patch_model(model, settings) as memory:
        torch.testing.assert_close(model(IDS).logits, logits, rtol=0, atol=1e-4)
        moved = memory.state().bank(2).state()["keys"]
    assert not torch.allclose(moved, keys, atol=1e-2)
    torch.testing.assert_close(moved, keys[..., order], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_memory_by_module_tells_a_clustering_from_a_random_division() -> None:
    def logits(how: ExpertConfig | None, **settings: object) -> Tensor:
        model = tiny_model("llama")
        if how:
            reorder_neurons(model, how)
        memory = MemoryConfig(slots=8, top_k=3, step=16, layers=(0, 2), **settings)
        with patch_model(model, memory):
            return model(IDS).logits

    drawn = ExpertConfig(experts=8, by="random")
    modules = {"similarity": "experts", "experts": 8}
    clustered, random = logits(CONFIG, **modules), logits(drawn, **modules)
    assert (clustered - random).abs().max() > 1e-2
    torch.testing.assert_close(logits(CONFIG), logits(drawn), rtol=0, atol=1e-4)
    torch.testing.assert_close(logits(CONFIG), logits(None), rtol=0, atol=1e-4)


@torch.no_grad()
def test_only_the_layers_asked_for_are_reordered() -> None:
    model = tiny_model("llama")
    before = [gate.clone() for gate in gates(model)]
    done = reorder_neurons(model, ExpertConfig(experts=8, layers=(1, 3)))
    assert [*done.orders] == [1, 3]
    assert [torch.equal(a, b) for a, b in zip(gates(model), before, strict=True)] == [
        True,
        False,
        True,
        False,
    ]


def small(seed: int = 0) -> PreTrainedModel:
    return tiny_model("llama", seed=seed, num_hidden_layers=2)


def count(monkeypatch: pytest.MonkeyPatch, fail_at: int | None = None) -> list[int]:
    """Counts clusterings; the one with a given number is interrupted."""
    module = sys.modules["pace_integrations.experts.reordering"]
    real, calls = module.cluster_neurons, []

    def counted(*arguments: object, **more: object) -> Tensor:
        calls.append(len(calls))
        if len(calls) - 1 == fail_at:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(module, "cluster_neurons", counted)
    return calls


def test_an_interrupted_clustering_goes_on_at_the_next_layer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, other = small(), small()
    before = weights(model)
    with monkeypatch.context() as patch:
        calls = count(patch, fail_at=1)
        with pytest.raises(KeyboardInterrupt):
            reorder_neurons(model, CONFIG)
        assert len(calls) == 2
    assert same(model, before)
    with monkeypatch.context() as patch:
        calls = count(patch)
        again = reorder_neurons(model, CONFIG)
        assert len(calls) == 1
        reorder_neurons(other, CONFIG)
        assert len(calls) == 1
        fresh = reorder_neurons(small(), ExpertConfig(experts=8, cache=str(tmp_path / "else")))
        assert len(calls) == 3
    assert fresh.fingerprint == again.fingerprint


@pytest.mark.parametrize("other", [{"seed": 1}, {"experts": 4}])
def test_another_question_has_another_answer(
    other: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reorder_neurons(small(), CONFIG)
    calls = count(monkeypatch)
    second = reorder_neurons(small(), ExpertConfig(**{"experts": 8, **other}))
    assert len(calls) == 2
    assert first.fingerprint != second.fingerprint
    reorder_neurons(small(seed=1), CONFIG)
    assert len(calls) == 4


def test_damaged_files_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reorder_neurons(small(), CONFIG)
    files = sorted((tmp_path / "cache" / "experts").glob("[!.]*"))
    assert [file.suffix for file in files] == [".safetensors"] * 2
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:-4] + b"\xff\xff\xff\x7f")
    calls = count(monkeypatch)
    assert reorder_neurons(small(), CONFIG).fingerprint == first.fingerprint
    assert len(calls) == 2


def test_a_random_division_is_no_clustering(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count(monkeypatch)
    drawn = [
        reorder_neurons(small(), ExpertConfig(experts=8, by="random", seed=seed))
        for seed in (0, 0, 1)
    ]
    assert not calls
    assert drawn[0].fingerprint == drawn[1].fingerprint != drawn[2].fingerprint
    assert not torch.equal(drawn[0].orders[0], drawn[0].orders[1])


def test_progress_counts_layers() -> None:
    seen: list[tuple[int, int]] = []
    reorder_neurons(small(), CONFIG, progress=lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]


def test_a_width_that_does_not_divide_names_the_divisors() -> None:
    model = small()
    before = weights(model)
    with pytest.raises(ConfigError, match=r"96 neurons .* 7 experts .* 48, 96$"):
        reorder_neurons(model, ExpertConfig(experts=7))
    assert same(model, before)


def quantized(folder: Path, kind: str) -> PreTrainedModel:
    pytest.importorskip("bitsandbytes")
    tiny_model("qwen2", hidden_size=64, intermediate_size=128).save_pretrained(folder)
    how = BitsAndBytesConfig(load_in_8bit=kind == "int8", load_in_4bit=kind == "nf4")
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=how)


@pytest.mark.parametrize("used", [False, True])
@torch.no_grad()
def test_eight_bit_weights_move_with_their_scales(used: bool, tmp_path: Path) -> None:
    model = quantized(tmp_path, "int8")
    expected = quantized(tmp_path, "int8")(IDS).logits
    if used:  # the first forward moves the scales from the weight into a state
        assert torch.equal(model(IDS).logits, expected)
    before = [gate.clone() for gate in gates(model)]
    done = reorder_neurons(model, CONFIG)
    assert not torch.equal(gates(model)[0], before[0])
    torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-3, atol=1e-2)
    done.restore()
    assert all(torch.equal(a, b) for a, b in zip(gates(model), before, strict=True))
    assert torch.equal(model(IDS).logits, expected)


def test_four_bit_weights_are_refused_with_the_way_out(tmp_path: Path) -> None:
    model = quantized(tmp_path, "nf4")
    with pytest.raises(ModelPatchError, match=r"layer 0 has quantized weights .*pace cluster"):
        reorder_neurons(model, CONFIG)


def test_weights_elsewhere_are_refused() -> None:
    with torch.device("meta"):
        model = small()
    with pytest.raises(ModelPatchError, match="not in memory"):
        reorder_neurons(model, CONFIG)


@torch.no_grad()
def test_an_order_must_be_one() -> None:
    model = small()
    before = weights(model)
    blocks = {block.layer: block for block in find_blocks(model)}
    good, twice = torch.randperm(96), torch.zeros(96, dtype=torch.int64)
    with pytest.raises(ModelPatchError, match=r"layer 1: the order is no permutation"):
        permute_neurons(blocks, {0: good, 1: twice})
    assert same(model, before)
    assert torch.equal(good[invert_order(good)], torch.arange(96))


def test_activations_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="needs a text"):
        ExpertConfig(by="coactivation")
    with pytest.raises(ConfigError, match="needs a text"):
        reorder_neurons(small(), ExpertConfig(experts=8, by="coactivation", text="x"))
