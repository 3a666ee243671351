"""The activation memory: banks, and the patch that attaches them to a model."""

from __future__ import annotations

from pace_integrations._renamed import keep_renamed
from pace_integrations.feed_forward import default_layers
from pace_integrations.memory.bank import ActivationMemoryBank
from pace_integrations.memory.calibration.result import Calibration
from pace_integrations.memory.calibration.search import Calibrator
from pace_integrations.memory.patch import MemoryPatch
from pace_integrations.memory.report import (
    Hits,
    LayerReport,
    Slot,
    StepHits,
    build_report,
    project_activations,
)
from pace_integrations.memory.state import MemoryState
from pace_integrations.memory.transformers_patch import PatchedModel, patch_model

__all__ = [
    "ActivationMemoryBank",
    "Calibration",
    "Calibrator",
    "Hits",
    "LayerReport",
    "MemoryPatch",
    "MemoryState",
    "PatchedModel",
    "Slot",
    "StepHits",
    "build_report",
    "default_layers",
    "patch_model",
    "project_activations",
]

__getattr__ = keep_renamed(__name__)
# Kept for one release; the module of this name would hide it from ``__getattr__``.
report = build_report
