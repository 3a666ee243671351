"""Low-rank differences of a base: what is trained."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
START_TEMPERATURE = 4.6  # exp: about 100; a mean of cosines spans little, 20 is too flat


class Adapter(nn.Module):
    """Low-rank differences of every linear layer, in float32.

    Args:
        base: The model that is adapted.
        rank: Rank of each difference.
        scale: Factor of each difference (PEFT's `lora_alpha / r`).
    """

    def __init__(self, base: nn.Module, rank: int, scale: float) -> None:
        super().__init__()
        self.rank, self.scale = rank, scale
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, module in base.named_modules():
            if isinstance(module, nn.Linear) and name.split(".")[-1] in ATTENTION + FEED_FORWARD:
                key = name.replace(".", "/")
                draw = torch.randn(rank, module.in_features) / math.sqrt(module.in_features)
                self.down[key] = nn.Parameter(draw)
                self.up[key] = nn.Parameter(torch.zeros(module.out_features, rank))
        self.temperature = nn.Parameter(torch.tensor(START_TEMPERATURE))

    def named(self) -> dict[str, Tensor]:
        """Return the matrices by the names of the layers, `.a` (down) and `.b` (up)."""
        pairs = {f"{k.replace('/', '.')}.a": p for k, p in self.down.items()}
        pairs |= {f"{k.replace('/', '.')}.b": p for k, p in self.up.items()}
        return {**pairs, "temp": self.temperature}

    @torch.no_grad()
    def load_named(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy matrices of `named`; every matrix must be there."""
        for name, parameter in self.named().items():
            if name in tensors or name != "temp":
                parameter.copy_(tensors[name])
