"""The activation memory: banks, and the patch that attaches them to a model."""

from __future__ import annotations

from pace_integrations.blocks import default_layers
from pace_integrations.memory.automatic import PatchedModel, patched
from pace_integrations.memory.bank import ActivationMemoryBank
from pace_integrations.memory.calibrate import Calibrator
from pace_integrations.memory.calibration import Calibration
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
