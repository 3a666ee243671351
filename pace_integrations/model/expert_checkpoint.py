"""Divides a loaded model into experts, and writes a divided one as a checkpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pace_integrations.config import ExpertConfig
from pace_integrations.errors import ConfigError, ModelLoadError
from pace_integrations.experts import Reordering, reorder_neurons
from pace_integrations.experts.activation_meters import CoactivationMeter
from pace_integrations.experts.masking import ExpertMask
from pace_integrations.feed_forward import Block
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache.cache import new_cache
from pace_integrations.model.loading import LoadedModel
from pace_integrations.model.prompts import Prompts

NOTE = "experts.json"  # what a reordered checkpoint says of itself
_CHUNK = 512


def divide_into_experts(
    loaded: LoadedModel, config: ExpertConfig, *, progress: Callable[[int, int], None] | None = None
) -> tuple[LoadedModel, Reordering]:
    """Reorder a model's neurons by expert, in place, and switch experts off if asked to.

    Args:
        loaded: The model; its identity changes with the order.
        config: How to divide it.
        progress: Called with the layers done and in all.

    Returns:
        The same model under its new identity, and what undoes the order.

    Raises:
        ConfigError: The experts do not divide a layer's width.
        ModelPatchError: The blocks are of no known form, quantized or not in memory.
        MissingExtraError: The constrained solver was asked for without the ``experts`` extra.
    """

    def activations(blocks: Sequence[Block]) -> Mapping[int, Tensor]:
        return _measure_activations(loaded, blocks, config.text)

    done = reorder_neurons(loaded.model, config, activations=activations, progress=progress)
    if config.active is not None:
        ExpertMask(loaded.model, config)
    return replace(loaded, experts=_describe_experts(config, done)), done


def write_checkpoint(loaded: LoadedModel, done: Reordering, folder: Path) -> None:
    """Write a reordered model and its tokenizer, as any checkpoint, and a note of how it was made.

    Args:
        loaded: The model.
        done: How it was reordered.
        folder: A new or empty folder; it is written atomically.

    Raises:
        ConfigError: The folder holds something.
        ModelLoadError: It cannot be written.
    """
    check_folder(folder)
    note = {
        **_describe_experts(done.config, done),
        **_describe_source(loaded),
        "layers": [*done.orders],
    }
    part: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        loaded.model.save_pretrained(part)
        loaded.tokenizer.save_pretrained(part)
        (part / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        part.chmod(0o755)  # mkdtemp's is the owner's alone
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise ModelLoadError(f"cannot write a checkpoint to {str(folder)!r}: {error}") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Check that a checkpoint can be written to a folder without loss.

    Raises:
        ConfigError: There is something already.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(
            f"{str(folder)!r} exists and is not an empty folder; choose another name, or remove it"
        )


def _describe_experts(config: ExpertConfig, done: Reordering) -> dict[str, Any]:
    """Return what decides what the model computes, as JSON-ready values."""
    facts: dict[str, Any] = {
        "experts": config.experts,
        "by": config.by,
        "solver": config.solver,
        "order": done.fingerprint,
    }
    if config.active is not None:
        facts |= {"active": config.active, "choice": config.choice}
    return facts


def _describe_source(loaded: LoadedModel) -> dict[str, Any]:
    return {"model": loaded.name, "revision": loaded.revision}


def _measure_activations(
    loaded: LoadedModel, blocks: Sequence[Block], text: str
) -> dict[int, Tensor]:
    """Describe neurons by when they fire on a text, as far as the context holds it."""
    prompts = Prompts(loaded.tokenizer)
    ids = [*prompts.encode_prefix(), *prompts.encode_text(text)][: loaded.context_window]
    tokens = torch.tensor([ids], device=loaded.model.device)
    meter = CoactivationMeter(blocks, len(ids))
    around: Callable[[], AbstractContextManager[object]] = meter.watch_forwards
    for _ in prefill(loaded.model, tokens, new_cache(loaded.model), chunk=_CHUNK, around=around):
        pass
    return meter.describe_neurons()
