"""Artificial Hippocampus Networks (arXiv 2510.07318): what leaves a window, in a fixed state.

Knows tensors and the files of checkpoints; no language model, cache or session.
"""

from __future__ import annotations

from pace_integrations.ahn.checkpoint import AHNWeights, load_weights, save_weights
from pace_integrations.ahn.config import AHNConfig
from pace_integrations.ahn.networks import KINDS, ArtificialHippocampus
from pace_integrations.ahn.recurrence import run_recurrence, scan_chunks

__all__ = [
    "KINDS",
    "AHNConfig",
    "AHNWeights",
    "ArtificialHippocampus",
    "load_weights",
    "run_recurrence",
    "save_weights",
    "scan_chunks",
]
