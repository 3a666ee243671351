"""Checkpoints of AHN: one ``model.safetensors`` with the networks alone, and ``config.json``.

The names are those of the published ones (``model.layers.3.ahn.fn.b_proj.weight``), so that both
kinds, theirs and ours, load by the same code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pace_integrations.ahn.config import AHNConfig
from pace_integrations.ahn.networks import KINDS, ArtificialHippocampus
from pace_integrations.errors import ConfigError, ModelLoadError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
_NAME = re.compile(r"model\.layers\.(\d+)\.ahn\.(fn\..+)")


@dataclass(frozen=True, slots=True)
class AHNWeights:
    """A checkpoint.

    Attributes:
        config: Kind, sinks and window that it was saved with.
        layers: Tensors by name, by 0-based layer.
        hash: SHA-256 over both files.
        source: The folder or name it was asked for by.
    """

    config: AHNConfig
    layers: Mapping[int, Mapping[str, Tensor]]
    hash: str
    source: str

    def load_into(self, networks: Mapping[int, ArtificialHippocampus]) -> None:
        """Copy the weights into networks.

        Raises:
            ModelLoadError: Tensors are missing, unknown or of another shape; the message counts
                them and names the first of each.
        """
        wanted = {
            _full_name(layer, name): tuple(tensor.shape)
            for layer, network in networks.items()
            for name, tensor in network.state_dict().items()
        }
        found = {
            _full_name(layer, name): tuple(tensor.shape)
            for layer, tensors in self.layers.items()
            for name, tensor in tensors.items()
        }
        faults = {
            "missing": sorted(wanted.keys() - found.keys()),
            "unknown": sorted(found.keys() - wanted.keys()),
            "of another shape": sorted(
                name for name in wanted.keys() & found.keys() if wanted[name] != found[name]
            ),
        }
        if any(faults.values()):
            told = "; ".join(
                f"{len(names)} {fault}, such as {names[0]}"
                for fault, names in faults.items()
                if names
            )
            raise ModelLoadError(
                f"the AHN does not fit the model: {told}; take one that was trained for it"
            )
        for layer, network in networks.items():
            network.load_state_dict(
                {name: tensor.float() for name, tensor in self.layers[layer].items()}
            )


def load_weights(folder: Path) -> AHNWeights:
    """Load a checkpoint.

    Args:
        folder: Folder with ``config.json`` and ``model.safetensors``.

    Raises:
        ModelLoadError: Files are missing or damaged, or hold something else.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelLoadError(
                f"no AHN in {str(folder)!r}: {name} is missing; it must be a folder with {CONFIG} "
                f"and {WEIGHTS}"
            )
    try:
        text = (folder / CONFIG).read_bytes()
        config = _read_config(json.loads(text))
        layers: dict[int, dict[str, Tensor]] = {}
        with safe_open(folder / WEIGHTS, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                match = _NAME.fullmatch(name)
                if match is None:
                    raise ValueError(f"{name!r} is no part of an AHN")
                layers.setdefault(int(match[1]), {})[match[2]] = tensors.get_tensor(name)
        digest = hashlib.sha256(text)
        with (folder / WEIGHTS).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    except Exception as error:  # safetensors and json raise what they like
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelLoadError(f"cannot use the AHN in {str(folder)!r}: {reason}") from error
    return AHNWeights(config, layers, f"sha256:{digest.hexdigest()}", str(folder))


def save_weights(
    folder: Path,
    networks: Mapping[int, ArtificialHippocampus],
    config: AHNConfig,
    *,
    facts: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint that `load_weights` reads.

    Args:
        folder: Its folder; it is made.
        networks: The networks by 0-based layer.
        config: Sinks and window to use it with.
        facts: What else ``config.json`` says, such as how it was trained.
        dtype: Type of the matrices on disk; vectors stay in float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        _full_name(layer, name): tensor.detach().cpu().to(dtype if tensor.ndim > 1 else None)
        for layer, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in named.items()}, folder / WEIGHTS)
    told = {
        **(facts or {}),
        "_ahn_implementation": KINDS[config.kind].upstream,
        "num_attn_sinks": config.sinks,
        "sliding_window": config.window,
    }
    (folder / CONFIG).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def resize_window(config: AHNConfig, tokens: int | None) -> AHNConfig:
    """Return settings with sinks and window of `tokens` in all; None changes nothing.

    Raises:
        ConfigError: There is no room for a window beside the sinks.
    """
    if tokens is None:
        return config
    if tokens < 2 * config.sinks or tokens < 1:
        raise ConfigError(
            f"a context of {tokens} tokens has no room for a window beside {config.sinks} first "
            f"tokens; make it at least {2 * config.sinks}"
        )
    return replace(config, window=tokens - config.sinks)


def _read_config(told: Mapping[str, Any]) -> AHNConfig:
    """Return the settings in a ``config.json``, which may hold a model's besides."""
    kinds = {network.upstream: kind for kind, network in KINDS.items()}
    name = told.get("_ahn_implementation")
    if name not in kinds:
        raise ValueError(f"_ahn_implementation is {name!r}, not one of {', '.join(kinds)}")
    if any(str(part).strip() for part in str(told.get("fa_layer_ids") or "").split(",")):
        raise ValueError("layers with full attention (fa_layer_ids) cannot be read in a window")
    if told.get("use_ahn_router") or told.get("use_q_proj"):
        raise ValueError("AHN with a router or queries of its own are not supported")
    default = AHNConfig()
    return AHNConfig(
        kinds[name],  # type: ignore[arg-type]  # the keys of a registry
        int(told.get("num_attn_sinks", default.sinks)),
        int(told.get("sliding_window") or default.window),
    )


def _full_name(layer: int, name: str) -> str:
    return f"model.layers.{layer}.ahn.{name}"
