"""The activation memory: banks, and the patch that attaches them to a model."""

from __future__ import annotations

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
    picture,
    report,
)
from pace_integrations.memory.state import MemoryState
from pace_integrations.memory.transformers_patch import PatchedModel, patched

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
    "default_layers",
    "patched",
    "picture",
    "report",
]
