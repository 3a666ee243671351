"""Weights in 8 and 4 bits: the same function within their rounding, on both of their paths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.errors import ConfigError
from pace_integrations.model import precision
from pace_integrations.model.weight_only import (
    MOST_ROWS,
    Int4Linear,
    Int8Linear,
    fits_int4,
    pack_linear_layers,
)

STEPS = {Int8Linear: 254, Int4Linear: 15}  # between the smallest and the largest weight


@pytest.mark.parametrize("kind", list(STEPS))
@given(
    inputs=st.sampled_from([64, 192]),
    outputs=st.sampled_from([16, 48]),
    bias=st.booleans(),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    seed=st.integers(0, 20),
)
@settings(max_examples=20, deadline=None)
def test_packed_layers_compute_what_their_layer_does(
    kind: type[nn.Linear], inputs: int, outputs: int, bias: bool, dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    linear = nn.Linear(inputs, outputs, bias=bias).to(dtype)
    packed = kind(linear)
    x = torch.randn(2, MOST_ROWS, inputs).to(dtype)
    with torch.no_grad():
        many, exact = packed(x), linear(x)
        few = torch.cat([packed(row) for row in x]).view_as(many)
    spread = (linear.weight.max() - linear.weight.min()).item()
    error = spread / STEPS[kind] / 2 * inputs**0.5 * 4  # rounding errors add up as a random walk
    rounding = 0.05 if dtype == torch.bfloat16 else 1e-4
    assert (many - exact).abs().max() <= error + rounding
    torch.testing.assert_close(few, many, atol=rounding, rtol=rounding)


def test_values_that_four_bits_hold_come_back_exactly() -> None:
    linear = nn.Linear(64, 16, bias=False)
    torch.manual_seed(0)
    steps = torch.randint(0, 16, (16, 64)).float()
    steps[:, ::32], steps[:, 1::32] = 0, 15  # so that every group spans the whole range
    linear.weight.data = steps - 3
    x = torch.randn(6, 64)
    torch.testing.assert_close(Int4Linear(linear)(x), linear(x).detach())


def test_shapes_that_the_kernel_refuses_get_eight_bits() -> None:
    model = nn.ModuleList([nn.Linear(64, 16), nn.Linear(40, 16), nn.Linear(64, 20)])
    assert [fits_int4(linear) for linear in model] == [True, False, False]
    model.get_output_embeddings = lambda: None
    pack_linear_layers(model, 4)
    assert [type(linear) for linear in model] == [Int4Linear, Int8Linear, Int8Linear]


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_quantized_on_the_cpu_without_another_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: str
) -> None:
    monkeypatch.setattr(precision.importlib.util, "find_spec", lambda name: None)
    folder = save_tiny(tmp_path, hidden_size=128, intermediate_size=256, tie_word_embeddings=True)
    with Pace.load(folder, quantization=quantization, memory=None) as pace:
        session = pace.read(Corpus.from_texts({"notes": "The oak stands by the well."}))
        assert session.ask("Where?", generation=GenerationConfig(max_new_tokens=4)).text
        model = pace._engine.loaded.model
        assert isinstance(model.get_output_embeddings(), Int8Linear)
        assert model.get_input_embeddings().weight.is_floating_point()


def test_four_bits_are_for_the_cpu() -> None:
    with pytest.raises(ConfigError, match="take 'nf4' or 'int8'"):
        precision.make_quantization_config("int4", on_cpu=False)
