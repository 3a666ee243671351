"""Loads a Hugging Face causal language model and its tokenizer, quantised or not."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import is_offline_mode
from huggingface_hub.constants import ENDPOINT as HUB
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pace_integrations.config import KvDtype, Overflow, Quantization
from pace_integrations.errors import ConfigError, MissingExtraError, ModelLoadError
from pace_integrations.model.rope import stretch_positions

EMBEDDED = Path(__file__).parent / "nano"
EMBEDDED_NAME = "pace-nano"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run.

    Attributes:
        name: The name or path it was asked for by.
        model: The model, in evaluation mode, on its device.
        tokenizer: Its tokenizer.
        quantization: ``"int8"``, ``"nf4"`` or None.
        overflow: What happens to more tokens than the model was made for.
        context: Tokens asked for; None are the model's own.
        kv: How keys and values are held.
        experts: How its neurons are divided into experts, as JSON-ready values, or None.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    quantization: Quantization | None
    overflow: Overflow = "error"
    context: int | None = None
    kv: KvDtype = "full"
    experts: dict[str, Any] | None = None

    @cached_property
    def revision(self) -> str:
        """Commit of the Hub's repository, or a hash of a local checkpoint's files."""
        commit = getattr(self.model.config, "_commit_hash", None)
        return str(commit) if commit else _hash_files(Path(str(self.model.name_or_path)))

    @property
    def context_window(self) -> int:
        """Most tokens of one sequence; a very large number where the model sets no limit."""
        config = self.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        return int(min(limit, self.context or limit, 2**31))

    def identity_facts(self) -> dict[str, Any]:
        """What must be equal for two loaded models to compute the same, as JSON-ready values."""
        return {
            "model": self.name,
            "revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "quantization": self.quantization,
            "overflow": self.overflow,
            "context": self.context,
            "kv": self.kv,
            "experts": self.experts,
        }


def load_model(
    model: str | os.PathLike[str] | None,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    quantization: Quantization | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    overflow: Overflow = "error",
    context: int | None = None,
    kv: KvDtype = "full",
) -> LoadedModel:
    """Loads a model by name or path.

    Args:
        model: Name on the Hugging Face Hub, path of a local checkpoint, or None for the
            embedded one.
        dtype: ``"auto"`` keeps the checkpoint's (the embedded one runs in float32).
        device: Where it runs, such as ``"cpu"`` or ``"cuda:1"``; ``"auto"`` spreads it over all
            there is; None takes a GPU when there is one.
        quantization: bitsandbytes quantisation of the linear layers.
        revision: Commit, branch or tag on the Hub.
        trust_remote_code: Whether code that the checkpoint carries may run.
        overflow: ``"yarn"`` stretches the rotary positions to `context` tokens.
        context: Most tokens of one sequence; None is what the model was made for, with
            ``"yarn"`` four times as many.
        kv: ``"int8"`` holds keys and values in eight bits.

    Raises:
        ModelLoadError: There is no such model, or its files cannot be used.
        MissingExtraError: Quantisation was asked for and bitsandbytes is not installed.
        ConfigError: A setting is none of the known words, or `kv` does not go with `overflow`.
    """
    _check_words(overflow, context, kv)
    path, name = _locate_model(model)
    options: dict[str, Any] = {
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "local_files_only": Path(path).exists() or not _hub_in_reach(),
    }
    placing = {
        "dtype": _choose_dtype(dtype, embedded=model is None, quantized=quantization is not None),
        "quantization_config": _quantization_config(quantization),
        "device_map": device or ("cuda" if torch.cuda.is_available() else "cpu"),
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        if overflow == "yarn":
            config = stretch_positions(AutoConfig.from_pretrained(path, **options), context)
            options["config"] = config
            context = config.get_text_config().max_position_embeddings
        network = AutoModelForCausalLM.from_pretrained(path, **options, **placing)
    except ConfigError:
        raise
    except ImportError as error:
        raise ModelLoadError(f"model {name!r} needs a package: {_first_line(error)}") from error
    except Exception as error:
        # from_pretrained raises a dozen kinds (OSError, ValueError, safetensors' own, ...).
        raise ModelLoadError(_explain_failure(name, path, error)) from error
    return LoadedModel(name, network.eval(), tokenizer, quantization, overflow, context, kv)


@lru_cache
def read_context_window(model: str | os.PathLike[str] | None) -> int | None:
    """Return the context of a model whose configuration lies on this machine, without loading it.

    Args:
        model: Name or path, as for `load_model`.

    Returns:
        Most tokens of one sequence; None where the configuration is not here, sets no limit, or
        needs code of its own.
    """
    try:
        config: Any = AutoConfig.from_pretrained(model or EMBEDDED, local_files_only=True)
    except (OSError, ValueError):
        return None
    window = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(window) if window else None


def _check_words(overflow: str, context: int | None, kv: str) -> None:
    if overflow not in ("error", "yarn", "window"):
        raise ConfigError(f"overflow must be 'error', 'yarn' or 'window', not {overflow!r}")
    if context is not None and context < 1:
        raise ConfigError(f"context must be at least 1 token, got {context}")
    if kv not in ("full", "int8"):
        raise ConfigError(f"kv must be 'full' or 'int8', not {kv!r}")
    if kv == "int8" and overflow == "window":
        raise ConfigError("kv='int8' cannot slide: leave it out, or take overflow='yarn'")


def _locate_model(model: str | os.PathLike[str] | None) -> tuple[str, str]:
    if model is not None:
        name = os.fspath(model)
        if not name.strip():
            raise ModelLoadError("the model's name is empty; leave it out for the embedded model")
        return name, name
    if not (EMBEDDED / "config.json").is_file():
        raise ModelLoadError(
            f"the embedded model is missing from this installation ({EMBEDDED}); reinstall "
            "pace-integrations, or name a model"
        )
    return str(EMBEDDED), EMBEDDED_NAME


def _hub_in_reach() -> bool:
    """Whether the Hub's name resolves: offline, the client would retry for most of a minute."""
    if is_offline_mode():
        return False
    if getproxies():
        return True  # names may resolve at the proxy only
    try:
        return bool(socket.getaddrinfo(urlsplit(HUB).hostname, 443))
    except OSError:
        return False


def _choose_dtype(
    dtype: str | torch.dtype, *, embedded: bool, quantized: bool
) -> str | torch.dtype:
    if dtype == "auto":
        if quantized:
            return torch.bfloat16
        # Small enough that float32 costs nothing, and there every invariance is sharp.
        return torch.float32 if embedded else "auto"
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise ConfigError(
            f"dtype must be 'auto', 'float32', 'bfloat16' or 'float16', not {dtype!r}"
        )
    return chosen


def _quantization_config(quantization: str | None) -> BitsAndBytesConfig | None:
    if quantization is None:
        return None
    if quantization not in ("int8", "nf4"):
        raise ConfigError(f"quantization must be None, 'int8' or 'nf4', not {quantization!r}")
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


def _hash_files(folder: Path) -> str:
    """SHA-256 over a local checkpoint's configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.suffix in {".json", ".safetensors", ".bin", ".model", ".jinja"}:
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _explain_failure(name: str, path: str, error: Exception) -> str:
    if not Path(path).exists():
        return (
            f"no model {name!r}: it is neither a local folder nor a model that the Hugging Face "
            "Hub or its local cache gives; check the name and the network, or leave it out for "
            "the embedded model"
        )
    return (
        f"cannot load the model in {name!r}: {_first_line(error)}; it must be a folder with "
        "config.json, weights and tokenizer of a causal language model"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
