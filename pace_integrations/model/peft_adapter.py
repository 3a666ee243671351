"""Adapters in PEFT's format: low-rank differences (LoRA, arXiv 2106.09685), merged at load.

A merged model is an ordinary one: as fast as without, and every patch finds its layers. Plain LoRA
is merged here and needs no package; other kinds are left to PEFT, where it is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor, nn

from pace_integrations.errors import MissingExtraError, ModelLoadError
from pace_integrations.model._transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Settings of LoRA that change more than `weight + scaling * B A` does.
_OTHER_KINDS = (
    "use_dora",
    "use_qalora",
    "lora_bias",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "corda_config",
    "eva_config",
)
_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def locate_adapter(adapter: str, *, local_files_only: bool) -> Path:
    """Return the folder of an adapter, fetched from the Hub where it is no local one.

    Args:
        adapter: Folder, or name on the Hugging Face Hub.
        local_files_only: Whether only the Hub's cache on this machine is looked at.

    Raises:
        ModelLoadError: There is no such adapter.
    """
    folder = Path(adapter)
    if not folder.exists() and adapter.count("/") == 1:
        try:
            found = snapshot_download(
                adapter, allow_patterns=[CONFIG, WEIGHTS], local_files_only=local_files_only
            )
        except Exception as error:  # the Hub's client raises a dozen kinds
            raise ModelLoadError(_explain_missing(adapter)) from error
        folder = Path(found)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelLoadError(f"{_explain_missing(adapter)}: {name} is missing")
    return folder


def hash_adapter(folder: Path) -> str:
    """Return the SHA-256 over an adapter's configuration and weights."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Add an adapter to a model's weights; return the model, or a merged copy of PEFT's making.

    Args:
        model: The model the adapter was made for, not quantized.
        folder: Folder of the adapter.

    Raises:
        ModelLoadError: The adapter is damaged or made for another model.
        MissingExtraError: It is of a kind that only PEFT merges, which is not installed.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("its configuration is no object")
        if _is_plain_lora(config):
            _merge_lora(model, config, _read_weights(folder / WEIGHTS))
            return model
        return _merge_with_peft(model, folder)
    except (MissingExtraError, ModelLoadError):
        raise
    except Exception as error:  # safetensors, json and PEFT raise what they like
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelLoadError(f"cannot use the adapter in {str(folder)!r}: {reason}") from error


def _is_plain_lora(config: Mapping[str, Any]) -> bool:
    """Return True if an adapter is low-rank differences of linear layers and nothing else."""
    bias = config.get("bias", "none") == "none"
    return config.get("peft_type") == "LORA" and bias and not any(map(config.get, _OTHER_KINDS))


def _read_weights(file: Path) -> dict[str, Tensor]:
    with safe_open(file, framework="pt") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118


@torch.no_grad()
def _merge_lora(model: nn.Module, config: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise ModelLoadError(f"the adapter holds {name!r}, which is no part of a plain LoRA")
        pairs.setdefault(found[1], {})[found[2]] = tensor
    for name, pair in pairs.items():
        try:
            weight = model.get_submodule(name).get_parameter("weight")
        except AttributeError as error:
            raise ModelLoadError(
                f"the adapter changes {name!r}, which {type(model).__name__} does not have; it "
                "was made for another model"
            ) from error
        # Summed in float32 and rounded once, whatever the model computes in.
        down, up = (pair[part].to(weight.device, torch.float32) for part in "AB")
        change = (up @ down) * _scaling(config, name)
        # Transformers' Conv1D (GPT-2) keeps its weights the other way round.
        change = change.T if config.get("fan_in_fan_out") else change
        if change.shape != weight.shape:
            raise ModelLoadError(
                f"the adapter's {name!r} has shape {tuple(change.shape)} and the model's "
                f"{tuple(weight.shape)}; it was made for another model"
            )
        weight.copy_((weight.float() + change).to(weight.dtype))


def _scaling(config: Mapping[str, Any], module: str) -> float:
    """Return the factor of a module's difference: alpha / rank, or alpha / sqrt(rank)."""
    rank = _value_for(module, config.get("rank_pattern"), config["r"])
    alpha = _value_for(module, config.get("alpha_pattern"), config["lora_alpha"])
    return float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def _value_for(module: str, patterns: Mapping[str, float] | None, default: float) -> float:
    """Return what a pattern says of a module, matched at the end of its name as PEFT does."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _merge_with_peft(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError("this kind of adapter", "peft")
    from peft import PeftModel

    merged: Any = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return merged  # type: ignore[no-any-return]


def _explain_missing(adapter: str) -> str:
    return (
        f"no adapter {adapter!r}: it must be a folder with {CONFIG} and {WEIGHTS}, as PEFT saves "
        "them, or such a repository on the Hugging Face Hub that can be reached"
    )
