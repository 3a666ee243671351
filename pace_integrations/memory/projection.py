"""Width and device of the projection that a bank is attached to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pace_integrations.feed_forward import input_width, output_width


@dataclass(frozen=True, slots=True)
class ProjectionSpec:
    """An output projection as a bank sees it.

    Attributes:
        features: Features that it takes in.
        width: Features that it gives; None where nobody asked.
        device: Where its weight is; a bank moves along if its inputs come from elsewhere.
    """

    features: int
    width: int | None
    device: torch.device


def describe_projection(projection: nn.Module, *, outputs: bool) -> ProjectionSpec:
    """Describe an output projection as a bank sees it.

    Args:
        projection: A linear module of any kind.
        outputs: Whether the width of its output matters.

    Raises:
        ModelPatchError: It does not say how wide it is.
    """
    device = next((p.device for p in projection.parameters()), torch.device("cpu"))
    device = torch.device("cpu") if device.type == "meta" else device
    return ProjectionSpec(
        input_width(projection), output_width(projection) if outputs else None, device
    )
