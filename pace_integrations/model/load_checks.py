"""What can be refused of a model before its weights, or anything else, are read."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from transformers import AutoConfig

from pace_integrations.errors import ConfigError
from pace_integrations.model.load_errors import translate_errors
from pace_integrations.model.loading import LoadSettings
from pace_integrations.model.model_files import hub_in_reach, locate_model
from pace_integrations.model.peft_adapter import locate_adapter
from pace_integrations.model.precision import choose_dtype, make_quantization_config
from pace_integrations.model.rope import stretch_positions

_SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")


def check_request(model: str | os.PathLike[str] | None, settings: LoadSettings) -> None:
    """Refuse a model that `load_model` would refuse, by its name, its configuration and settings.

    Raises:
        ModelLoadError: There is no such model or adapter.
        ConfigError: A setting is of no known kind, or the positions cannot be stretched.
    """
    make_quantization_config(settings.quantization, on_cpu=settings.on_cpu)
    choose_dtype(settings.dtype, parameters=0, on_cpu=True)
    _check_device(settings.device)
    files = locate_model(model, settings.adapter)
    local = Path(files.path).exists() or not hub_in_reach()
    if files.adapter:
        locate_adapter(files.adapter, local_files_only=local)
    if files.gguf is not None:  # its header takes seconds to read
        return
    with translate_errors(files):
        config = AutoConfig.from_pretrained(
            files.path,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            local_files_only=local,
        )
        if settings.overflow == "yarn":
            stretch_positions(config, settings.context)


def _check_device(name: str | None) -> None:
    if name is None or name in _SPREAD:
        return
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"device must be cpu, cuda, cuda:1, mps or auto, not {name!r}; without it, the best"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not on this machine; leave it out")
