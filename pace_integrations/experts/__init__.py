"""Cortical experts: neurons divided into modules of equal size (PaceLLM, arXiv 2506.17310).

Reordering neurons changes no output of the network beyond rounding; what it gives is structure:
modules that can be watched, looked up and switched one by one. Knows no session and no files but
its own cache.
"""

from __future__ import annotations

from pace_integrations._renamed import keep_renamed
from pace_integrations.experts.activation_meters import CoactivationMeter, UsageMeter
from pace_integrations.experts.cluster import cluster_neurons, measure_inertia
from pace_integrations.experts.masking import mask_experts
from pace_integrations.experts.reordering import Reordering, reorder_neurons

__all__ = [
    "CoactivationMeter",
    "Reordering",
    "UsageMeter",
    "cluster_neurons",
    "mask_experts",
    "measure_inertia",
    "reorder_neurons",
]

__getattr__ = keep_renamed(__name__)
