"""The number format that a model computes in, and the quantization of its layers."""

from __future__ import annotations

import importlib.util
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from pace_integrations.errors import ConfigError, MissingExtraError

# Below this, float32 costs nothing, and there every invariance is sharp.
SMALL = 50_000_000
# As Linux names them: AVX512-BF16, AMX and Arm's.
_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def choose_dtype(
    dtype: str | torch.dtype, *, parameters: int, on_cpu: bool, expanded: bool = False
) -> str | torch.dtype:
    """Return the type to load a model in, as ``from_pretrained`` takes it.

    Args:
        dtype: What was asked for; ``"auto"`` leaves the choice to this function: on CPUs
            bfloat16 for models above 50M parameters where the CPU computes in it, otherwise
            float32; on other devices what the checkpoint holds, as ``"checkpoint"`` everywhere.
        parameters: Number of weights.
        on_cpu: Whether the whole model runs on the CPU.
        expanded: Whether the weights come out of quantized blocks, which have no type to keep.

    Raises:
        ConfigError: `dtype` names no floating-point type.
    """
    if dtype in ("auto", "checkpoint"):
        if dtype == "checkpoint" or not on_cpu:
            return torch.bfloat16 if expanded else "auto"
        large = parameters > SMALL
        return torch.bfloat16 if large and has_native_bfloat16() else torch.float32
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise ConfigError(
            f"dtype must be 'auto', 'checkpoint', 'float32', 'bfloat16' or 'float16', not {dtype!r}"
        )
    return chosen


@cache
def has_native_bfloat16() -> bool:
    """Return True if the CPU has instructions for bfloat16, without which it is slow."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        # macOS tells nothing in a file; its Arm chips have it from the M2 on, which torch knows.
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(bool(known.get(flag)) for flag in _FLAGS)
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.M)
    return bool(lines) and bool(_FLAGS & set(lines[0].split()))


def count_parameters(path: str, options: dict[str, Any], *, gguf: Path | None = None) -> int:
    """Return the number of weights of a model that is not loaded yet, roughly for GGUF files.

    Args:
        path: Folder or name.
        options: Further arguments of ``from_pretrained``.
        gguf: The GGUF file that holds the weights, or None.
    """
    if gguf is not None:
        return gguf.stat().st_size  # about a byte for each weight; reading its header takes seconds
    shards = sorted(Path(path).glob("*.safetensors"))
    if shards:
        return sum(_count_shard(shard) for shard in shards)
    config = AutoConfig.from_pretrained(path, **options)
    with torch.device("meta"):  # shapes alone
        model = AutoModelForCausalLM.from_config(
            config, trust_remote_code=options.get("trust_remote_code", False)
        )
    return int(model.num_parameters())


def _count_shard(shard: Path) -> int:
    with safe_open(shard, framework="pt") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118


def packed_bits(quantization: str | None, *, on_cpu: bool) -> int | None:
    """Return the bits in which `weight_only` holds the weights, or None where it does not.

    Raises:
        ConfigError: `quantization` is none of the known words, or not for this device.
    """
    if quantization not in (None, "int8", "int4", "nf4"):
        raise ConfigError(
            f"quantization must be None, 'int8', 'int4' or 'nf4', not {quantization!r}"
        )
    if quantization == "int4" and not on_cpu:
        raise ConfigError("quantization='int4' is for CPUs; on this device take 'nf4' or 'int8'")
    return {"int8": 8, "int4": 4}.get(quantization or "") if on_cpu else None


def make_quantization_config(
    quantization: str | None, *, on_cpu: bool = False
) -> BitsAndBytesConfig | None:
    """Return what tells Transformers to quantize, or None where it is not to.

    Raises:
        ConfigError: `quantization` is none of the known words, or not for this device.
        MissingExtraError: bitsandbytes is not installed.
    """
    if packed_bits(quantization, on_cpu=on_cpu) or quantization is None:
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(f"quantization={quantization!r}", "quant")
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
