"""The type that "auto" stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import save_tiny

from pace_integrations import Pace
from pace_integrations.errors import ConfigError
from pace_integrations.model import precision
from pace_integrations.model.precision import choose_dtype, count_parameters

LARGE, SMALL = precision.SMALL + 1, precision.SMALL


@pytest.mark.parametrize(
    ("native", "parameters", "expected"),
    [
        (True, LARGE, torch.bfloat16),
        (True, SMALL, torch.float32),
        (False, LARGE, torch.float32),
        (False, SMALL, torch.float32),
    ],
)
def test_on_cpus_it_is_what_the_cpu_computes_in(
    native: bool, parameters: int, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda: native)
    assert choose_dtype("auto", parameters=parameters, on_cpu=True) == expected
    assert choose_dtype("auto", parameters=parameters, on_cpu=False) == "auto"
    assert choose_dtype("auto", parameters=0, on_cpu=False, expanded=True) == torch.bfloat16
    assert choose_dtype("checkpoint", parameters=parameters, on_cpu=True) == "auto"
    assert choose_dtype("float16", parameters=parameters, on_cpu=True) == torch.float16
    with pytest.raises(ConfigError, match="dtype must be"):
        choose_dtype("int8", parameters=parameters, on_cpu=True)


def test_a_model_above_the_border_is_loaded_so(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda: True)
    with Pace.load(tiny_path, memory=None) as pace:
        assert pace.fingerprint["dtype"] == "float32"
        weights = pace._engine.loaded.model.num_parameters()
    monkeypatch.setattr(precision, "SMALL", weights - 1)
    with Pace.load(tiny_path, memory=None) as pace:
        assert pace.fingerprint["dtype"] == "bfloat16"
    with Pace.load(tiny_path, memory=None, dtype="float32") as pace:
        assert pace.fingerprint["dtype"] == "float32"


def test_weights_are_counted_before_they_are_loaded(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, tie_word_embeddings=False)
    with Pace.load(folder, memory=None) as pace:
        expected = pace._engine.loaded.model.num_parameters()
    assert count_parameters(str(folder), {}) == expected
    (folder / "model.safetensors").unlink()  # as on the Hub: the configuration alone is there
    assert count_parameters(str(folder), {}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_what_linux_says_of_the_cpu_is_understood(
    text: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    assert precision.has_native_bfloat16.__wrapped__() is expected
