"""Linear layers whose weights are held in 8 or 4 bits on a CPU, by PyTorch's own kernels.

Decoding reads every weight once for each token, so fewer bytes are more tokens per second. Many
tokens at once are bound by arithmetic instead: there the weights are expanded for the moment and
multiplied as bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pace_integrations.model._transformers import PreTrainedModel

MOST_ROWS = 4  # up to here the kernels are faster than expanding the weights, on one core
GROUP = 32  # weights that share a scale and a zero in 4 bits
ROW_MULTIPLE = 16  # the 4-bit kernel takes outputs in blocks of this size


class Int8Linear(nn.Linear):
    """A linear layer in 8 bits, with one scale for each output.

    Args:
        linear: The layer to take the weights from.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)  # the weights of nn.Linear would be allocated for nothing
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        scales = weight.float().abs().amax(1).clamp(min=1e-12) / 127
        packed = (weight.float() / scales[:, None]).round().to(torch.int8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.scales: Tensor
        self.register_buffer("scales", scales.to(weight.dtype))
        self.bias = linear.bias

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs ``(..., out_features)`` of inputs ``(..., in_features)``."""
        rows = input.reshape(-1, self.in_features)
        if rows.shape[0] <= MOST_ROWS:
            out = torch._weight_int8pack_mm(rows, self.weight, self.scales)
        else:
            out = nn.functional.linear(rows, self.weight.to(rows.dtype)) * self.scales
        out = out if self.bias is None else out + self.bias
        return out.view(*input.shape[:-1], self.out_features)


class Int4Linear(nn.Linear):
    """A linear layer in 4 bits, with a scale and a zero for each group of 32 weights.

    Args:
        linear: The layer to take the weights from; see `fits_int4`.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        groups = weight.float().unflatten(1, (-1, GROUP))
        low, high = groups.aminmax(dim=-1)
        scales = ((high - low) / 15).clamp(min=1e-12)
        steps = ((groups - low[..., None]) / scales[..., None]).round().clamp(0, 15)
        # Both kernels and `_expand` read (step - 8) * scale + zero.
        affine = torch.stack([scales, low + 8 * scales], dim=-1).transpose(0, 1).contiguous()
        self.affine: Tensor
        self.register_buffer("affine", affine.to(weight.dtype))
        flat = steps.flatten(1).to(torch.uint8)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(flat.int(), 1)
        self.weight = nn.Parameter(packed, requires_grad=False)
        halves = flat[:, : self.in_features // 2] | (flat[:, self.in_features // 2 :] << 4)
        self._halves: Tensor
        self.register_buffer("_halves", halves, persistent=False)
        self.bias = linear.bias

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs ``(..., out_features)`` of inputs ``(..., in_features)``."""
        rows = input.reshape(-1, self.in_features)
        out: Tensor
        if rows.shape[0] <= MOST_ROWS:
            out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.weight, GROUP, self.affine)
        else:
            out = nn.functional.linear(rows, self._expand())
        out = out if self.bias is None else out + self.bias
        return out.view(*input.shape[:-1], self.out_features)

    def _expand(self) -> Tensor:
        """Return the weights ``(out_features, in_features)``."""
        # The order of the kernel's own packing is its secret, so reading has a copy in plain order.
        steps = torch.cat([self._halves & 15, self._halves >> 4], dim=1).to(self.affine.dtype)
        scales, zeros = self.affine.transpose(0, 1).unbind(-1)
        groups = (steps - 8).unflatten(1, (-1, GROUP))
        return torch.addcmul(zeros[..., None], groups, scales[..., None]).flatten(1)


def fits_int4(linear: nn.Linear) -> bool:
    """Return True if a layer's shape is one that the 4-bit kernel takes."""
    return linear.in_features % (2 * GROUP) == 0 and linear.out_features % ROW_MULTIPLE == 0


@torch.no_grad()
def pack_linear_layers(model: PreTrainedModel, bits: int) -> None:
    """Replace the linear layers of a model on a CPU by packed ones, in place.

    The output embedding gets 8 bits at the least, and its own copy where it is tied to the input's.

    Args:
        model: The model.
        bits: 8 or 4; layers whose shape the 4-bit kernel does not take get 8.
    """
    head = model.get_output_embeddings()
    layers = [(name, m) for name, m in model.named_modules() if type(m) is nn.Linear]
    for name, linear in layers:
        small = bits == 4 and linear is not head and fits_int4(linear)
        packed = Int4Linear(linear) if small else Int8Linear(linear)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, packed)
