"""Reordering the neurons of a loaded model, in place, one tensor at a time.

A feed-forward block computes the same whatever the order of its neurons, if the rows of what leads
into them and the columns of what leads out of them move together. Only the order of a sum changes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pace_integrations.blocks import Block, out_width
from pace_integrations.errors import ModelPatchError


def order_of(labels: Tensor) -> Tensor:
    """The order that puts every expert's neurons side by side ``(d_ff,)``; within it none moves."""
    return labels.argsort(stable=True)


def inverse(order: Tensor) -> Tensor:
    """The order that undoes another one ``(d_ff,)``."""
    undone = torch.empty_like(order)
    undone[order] = torch.arange(len(order), device=order.device)
    return undone


def description(block: Block) -> Tensor:
    """The rows that describe a block's neurons ``(d_ff, features)``: those of its gate.

    A block without a gate is described by the projection that leads into it. What comes back
    shares its memory with the model.

    Raises:
        ModelPatchError: The weights are quantised or not in memory.
    """
    module = block.inputs[0]
    weight = _weight(module, block)
    rows = weight.T if _transposed(module) else weight
    return rows[: block.neurons].detach()


def permute(blocks: Mapping[int, Block], orders: Mapping[int, Tensor]) -> None:
    """Puts neurons into another order: neuron ``order[i]`` becomes neuron i.

    Everything is checked before anything is moved.

    Args:
        blocks: Blocks by layer.
        orders: Order of the neurons of some of those layers ``(d_ff,)``.

    Raises:
        ModelPatchError: Weights are quantised, not in memory or of an unknown form, or an order is
            none.
    """
    for layer, order in orders.items():
        block = blocks[layer]
        check(block)
        if not torch.equal(order.sort().values.cpu(), torch.arange(block.neurons)):
            raise ModelPatchError(
                f"layer {layer}: the order is no permutation of its {block.neurons} neurons"
            )
    for layer, order in orders.items():
        _permute(blocks[layer], order)


def check(block: Block) -> None:
    """Checks that a block's neurons can be moved.

    Raises:
        ModelPatchError: Its weights are quantised, not in memory, or of an unknown form.
    """
    for module in (*block.inputs, block.output):
        _weight(module, block)
    for module in block.inputs:
        if out_width(module) not in (block.neurons, 2 * block.neurons):
            raise ModelPatchError(
                f"layer {block.layer}: {type(module).__name__} gives out {out_width(module)} "
                f"features where the block has {block.neurons} neurons; blocks of this form cannot "
                "be reordered: load the model with experts=None"
            )


@torch.no_grad()
def _permute(block: Block, order: Tensor) -> None:
    for module in block.inputs:
        rows = order
        if out_width(module) == 2 * block.neurons:  # gate and up projection in one
            rows = torch.cat([order, order + block.neurons])
        _move(module.get_parameter("weight"), rows, 1 if _transposed(module) else 0)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            _move(bias, rows, 0)
    for vector in block.vectors:
        _move(vector, order, 0)
    output = block.output
    _move(output.get_parameter("weight"), order, 0 if _transposed(output) else 1)


def _move(parameter: nn.Parameter, order: Tensor, dimension: int) -> None:
    """Reorders one tensor through a copy of it; the parameter stays the same object."""
    parameter.data.copy_(parameter.data.index_select(dimension, order.to(parameter.device)))


def _transposed(module: nn.Module) -> bool:
    """Whether a weight is ``(in, out)``, as in Transformers' Conv1D."""
    return not hasattr(module, "out_features") and hasattr(module, "nf")


def _weight(module: nn.Module, block: Block) -> Tensor:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.ndim != 2:
        raise ModelPatchError(
            f"layer {block.layer} has quantised weights ({type(module).__name__}), whose neurons "
            "cannot be moved; write a reordered checkpoint with 'pace cluster MODEL -o DIR' and "
            "load that one quantised"
        )
    if weight.device.type == "meta":
        raise ModelPatchError(
            f"the weights of layer {block.layer} are not in memory (offloaded); load the model on "
            "one device, or write a reordered checkpoint with 'pace cluster MODEL -o DIR'"
        )
    return weight
