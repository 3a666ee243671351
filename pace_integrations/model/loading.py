"""Loads a Hugging Face causal language model and its tokenizer.

The weights come from a name, a folder or a GGUF file, quantized or not, with or without an adapter.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pace_integrations.ahn import AHNWeights
from pace_integrations.config import KvDtype, Overflow, Quantization
from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import (
    forget_quantization,
    gguf_arguments,
    gguf_bar_hidden,
)
from pace_integrations.model.gguf import repair_end_token, require_gguf
from pace_integrations.model.hippocampus import fetch_ahn
from pace_integrations.model.load_errors import translate_errors
from pace_integrations.model.model_files import (
    ModelFiles,
    hash_file,
    hash_files,
    hub_in_reach,
    locate_model,
)
from pace_integrations.model.overflow import check_overflow
from pace_integrations.model.peft_adapter import hash_adapter, locate_adapter, merge_adapter
from pace_integrations.model.precision import (
    choose_dtype,
    count_parameters,
    make_quantization_config,
    packed_bits,
)
from pace_integrations.model.registry import DEMONSTRATION, MODELS
from pace_integrations.model.rope import stretch_positions
from pace_integrations.model.weight_only import pack_linear_layers

EMBEDDED_NAME, EMBEDDED = DEMONSTRATION, MODELS[DEMONSTRATION].checkpoint


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run.

    Attributes:
        name: The name or path it was asked for by.
        model: The model, in evaluation mode, on its device.
        tokenizer: Its tokenizer.
        quantization: ``"int8"``, ``"int4"``, ``"nf4"`` or None.
        overflow: What happens to more tokens than the model was made for.
        context: Tokens asked for; None are the model's own.
        kv: How keys and values are held.
        experts: How its neurons are divided into experts, as JSON-ready values, or None.
        adapter: The adapter it was asked for with, or None.
        base_hash: Hash of its base weights, where that is not the hash of the checkpoint's files.
        adapter_hash: Hash of the adapter that was merged into it, or None.
        adapter_folder: Folder of that adapter, or None.
        ahn: Networks for what leaves the window, with sinks and window as they are used, or None.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    quantization: Quantization | None
    overflow: Overflow = "error"
    context: int | None = None
    kv: KvDtype = "full"
    experts: dict[str, Any] | None = None
    adapter: str | None = None
    base_hash: str | None = None
    adapter_hash: str | None = None
    adapter_folder: Path | None = None
    ahn: AHNWeights | None = None

    @cached_property
    def revision(self) -> str:
        """Commit or hash of the base weights, and hashes of adapter and AHN."""
        base = self.base_hash or getattr(self.model.config, "_commit_hash", None)
        base = str(base or hash_files(Path(str(self.model.name_or_path))))
        added = (self.adapter_hash, self.ahn.hash if self.ahn else None)
        return "+".join([base, *filter(None, added)])

    @property
    def context_window(self) -> int:
        """Most tokens of one sequence; a very large number where the model sets no limit."""
        config = self.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        return int(min(limit, self.context or limit, 2**31))

    def identity_facts(self) -> dict[str, Any]:
        """Return what must be equal for two models to compute the same, as JSON-ready values.

        Two of the facts are names, which may change: `revision` tells models and adapters apart.
        """
        return {
            "model": self.name,
            "revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "quantization": self.quantization,
            "overflow": self.overflow,
            "context": self.context,
            "kv": self.kv,
            "experts": self.experts,
            "adapter": self.adapter,
            "ahn": self.ahn.source if self.ahn else None,
        }


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How a model is loaded.

    Attributes:
        adapter: Adapter in PEFT's format, a folder or a name on the Hub, to merge into the
            weights; None is the one that belongs to a known name, if any.
        dtype: ``"auto"`` is bfloat16 or float32 on CPUs, by size and instructions, and the
            checkpoint's elsewhere.
        device: Where it runs, such as ``"cpu"`` or ``"cuda:1"``; ``"auto"`` spreads it over all
            there is; None takes a GPU when there is one.
        quantization: Bits of the linear layers' weights; on CPUs ``"int8"`` and ``"int4"`` run in
            PyTorch's own kernels, everything else in bitsandbytes.
        revision: Commit, branch or tag on the Hub.
        trust_remote_code: Whether code that the checkpoint carries may run.
        overflow: ``"yarn"`` stretches the rotary positions to `context` tokens.
        context: Most tokens of one sequence; None is what the model was made for, with
            ``"yarn"`` four times as many.
        kv: ``"int8"`` holds keys and values in eight bits.
        ahn: Networks for what leaves the window: a folder or a name on the Hub.

    Raises:
        ConfigError: A setting is none of the known words, or two do not go together.
    """

    adapter: str | os.PathLike[str] | None = None
    dtype: str | torch.dtype = "auto"
    device: str | None = None
    quantization: Quantization | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    overflow: Overflow = "error"
    context: int | None = None
    kv: KvDtype = "full"
    ahn: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_overflow(self.overflow, self.kv, self.ahn)
        if self.context is not None and self.context < 1:
            raise ConfigError(f"context must be at least 1 token, got {self.context}")
        if self.kv not in ("full", "int8"):
            raise ConfigError(f"kv must be 'full' or 'int8', not {self.kv!r}")

    @property
    def place(self) -> str:
        """Device that the model runs on."""
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def on_cpu(self) -> bool:
        """True if the whole model runs on the CPU."""
        return self.place == "cpu"


_SETTINGS = LoadSettings()


def load_model(
    model: str | os.PathLike[str] | None, settings: LoadSettings = _SETTINGS
) -> LoadedModel:
    """Load a model by name or path.

    Args:
        model: A known name (``"pace-small"``), a name on the Hugging Face Hub, the path of a
            checkpoint's folder or of a GGUF file, or None for the default.
        settings: How to load it.

    Raises:
        ModelLoadError: There is no such model or adapter, or its files cannot be used.
        MissingExtraError: A package that is needed for what was asked is not installed.
        ConfigError: A setting is of no known kind, or the positions cannot be stretched.
    """
    quantized = make_quantization_config(settings.quantization, on_cpu=settings.on_cpu)
    bits = packed_bits(settings.quantization, on_cpu=settings.on_cpu)
    files = locate_model(model, settings.adapter)
    source: dict[str, Any] = {
        "revision": settings.revision,
        "trust_remote_code": settings.trust_remote_code,
        "local_files_only": Path(files.path).exists() or not hub_in_reach(),
    }
    folder = None
    if files.adapter:
        folder = locate_adapter(files.adapter, local_files_only=source["local_files_only"])
    with translate_errors(files):
        form = _choose_form(files, source, settings)
        # Expanded or merged weights exist only once they are loaded, so these are quantized then.
        whole = files.gguf is None and folder is None
        first = {**form, "quantization_config": quantized} if whole and quantized else form
        network, tokenizer = _load_network(files, source, first, settings)
        if folder is not None:
            network = merge_adapter(network, folder)
        if quantized is not None and not whole:
            network = _quantize_loaded(network, {**form, "quantization_config": quantized})
        if bits is not None:
            pack_linear_layers(network, bits)
    text, stretched, ahn = network.config.get_text_config(), settings.overflow == "yarn", None
    context = text.max_position_embeddings if stretched else settings.context
    if settings.ahn is not None:
        ahn = fetch_ahn(settings.ahn, context, local_files_only=not hub_in_reach())
        context = ahn.config.lossless
    return LoadedModel(
        files.name,
        network.eval(),
        tokenizer,
        settings.quantization,
        settings.overflow,
        context,
        settings.kv,
        adapter=files.adapter_name,
        base_hash=files.base_hash or (hash_file(files.gguf) if files.gguf else None),
        adapter_hash=hash_adapter(folder) if folder else None,
        adapter_folder=folder,
        ahn=ahn,
    )


def _choose_form(
    files: ModelFiles, source: dict[str, Any], settings: LoadSettings
) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that say in which type and where weights lie."""
    on_cpu, dtype = settings.on_cpu, settings.dtype
    if dtype == "auto" and settings.quantization:
        return {"device_map": settings.place, "dtype": torch.bfloat16}
    counted = 0
    if on_cpu and dtype == "auto":
        counted = count_parameters(files.path, source, gguf=files.gguf)
    expanded = files.gguf is not None
    chosen = choose_dtype(dtype, parameters=counted, on_cpu=on_cpu, expanded=expanded)
    return {"device_map": settings.place, "dtype": chosen}


def _load_network(
    files: ModelFiles, source: dict[str, Any], form: dict[str, Any], settings: LoadSettings
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load weights and tokenizer; errors are whatever Transformers raises."""
    gguf = {"gguf_file": files.gguf.name} if files.gguf else {}
    if files.gguf:
        require_gguf()
    tokenizer = AutoTokenizer.from_pretrained(files.path, **gguf, **source)
    if settings.overflow == "yarn":
        config = AutoConfig.from_pretrained(files.path, **gguf, **source)
        form = {**form, "config": stretch_positions(config, settings.context)}
    if files.gguf is None:
        return AutoModelForCausalLM.from_pretrained(files.path, **source, **form), tokenizer
    with gguf_bar_hidden():
        network = AutoModelForCausalLM.from_pretrained(
            files.path, **source, **form, **gguf_arguments(files.gguf.name)
        )
    forget_quantization(network)
    repair_end_token(tokenizer, network)
    return network, tokenizer


def _quantize_loaded(network: PreTrainedModel, form: dict[str, Any]) -> PreTrainedModel:
    """Quantize weights that lie in memory alone, by way of a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pace-") as folder:
        network.save_pretrained(folder)
        made: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, **form)
    # What the fingerprint is made of is where the weights came from.
    made.name_or_path = network.name_or_path
    made.config._commit_hash = getattr(network.config, "_commit_hash", None)
    return made
