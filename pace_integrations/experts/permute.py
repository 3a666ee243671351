"""Reordering the neurons of a loaded model, in place, one tensor at a time.

A feed-forward block computes the same whatever the order of its neurons, if the rows of what leads
into them and the columns of what leads out of them move together. Only the order of a sum changes.

Eight-bit weights of bitsandbytes have one scale per row, which moves with its row, so that nothing
is rounded again. Four-bit weights share a scale between neighboring columns: they would have to
be quantized anew, and could not be restored.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pace_integrations.errors import ModelPatchError
from pace_integrations.feed_forward import Block, output_width


def order_by_expert(labels: Tensor) -> Tensor:
    """Return the order that puts every expert's neurons side by side, in their own order."""
    return labels.argsort(stable=True)


def invert_order(order: Tensor) -> Tensor:
    """Return the order that undoes another one ``(d_ff,)``."""
    undone = torch.empty_like(order)
    undone[order] = torch.arange(len(order), device=order.device)
    return undone


def describe_neurons(block: Block) -> Tensor:
    """Return the rows that describe a block's neurons ``(d_ff, features)``: those of its gate.

    A block without a gate is described by the projection that leads into it. What comes back
    shares its memory with the model, unless it had to be dequantized.

    Raises:
        ModelPatchError: The weights are quantized or not in memory.
    """
    module = block.inputs[0]
    weight = _movable_weight(module, block)
    rows = (weight.T if _is_transposed(module) else weight)[: block.neurons].detach()
    if weight.is_floating_point():
        return rows
    return rows.float() * _row_scales(module)[0][: block.neurons, None]


def permute_neurons(blocks: Mapping[int, Block], orders: Mapping[int, Tensor]) -> None:
    """Put neurons into another order: neuron ``order[i]`` becomes neuron i.

    Everything is checked before anything is moved.

    Args:
        blocks: Blocks by layer.
        orders: Order of the neurons of some of those layers ``(d_ff,)``.

    Raises:
        ModelPatchError: Weights are quantized, not in memory or of an unknown form, or an order is
            none.
    """
    for layer, order in orders.items():
        block = blocks[layer]
        check_movable(block)
        if not torch.equal(order.sort().values.cpu(), torch.arange(block.neurons)):
            raise ModelPatchError(
                f"layer {layer}: the order is no permutation of its {block.neurons} neurons"
            )
    for layer, order in orders.items():
        _permute_block(blocks[layer], order)


def check_movable(block: Block) -> None:
    """Check that a block's neurons can be moved.

    Raises:
        ModelPatchError: Its weights are quantized, not in memory, or of an unknown form.
    """
    for module in (*block.inputs, block.output):
        _movable_weight(module, block)
    for module in block.inputs:
        if output_width(module) not in (block.neurons, 2 * block.neurons):
            raise ModelPatchError(
                f"layer {block.layer}: {type(module).__name__} gives out {output_width(module)} "
                f"features where the block has {block.neurons} neurons; blocks of this form cannot "
                "be reordered: load the model with experts=None"
            )


@torch.no_grad()
def _permute_block(block: Block, order: Tensor) -> None:
    for module in block.inputs:
        rows = order
        if output_width(module) == 2 * block.neurons:  # gate and up projection in one
            rows = torch.cat([order, order + block.neurons])
        _move_weight(module, rows, 1 if _is_transposed(module) else 0)
        for scale in _row_scales(module):
            _move_rows(scale, rows, 0)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            _move_rows(bias, rows, 0)
    for vector in block.vectors:
        _move_rows(vector, order, 0)
    _move_weight(block.output, order, 0 if _is_transposed(block.output) else 1)


def _move_weight(module: nn.Module, order: Tensor, dimension: int) -> None:
    """Reorder a weight, and what bitsandbytes may keep beside it of the same weight."""
    moved: set[int] = set()
    for tensor in (module.get_parameter("weight"), *_attached_tensors(module, "CB")):
        if tensor.data_ptr() not in moved:
            moved.add(tensor.data_ptr())
            _move_rows(tensor, order, dimension)


def _move_rows(tensor: Tensor, order: Tensor, dimension: int) -> None:
    """Reorder one tensor through a copy of it; it stays where it is."""
    tensor.data.copy_(tensor.data.index_select(dimension, order.to(tensor.device)))


def _row_scales(module: nn.Module) -> list[Tensor]:
    """Return the row scales of an 8-bit weight."""
    own = getattr(module, "scales", None)
    if isinstance(own, Tensor):
        return [own]
    return _attached_tensors(module, "SCB")  # with the weight, after a forward in its state


def _attached_tensors(module: nn.Module, name: str) -> list[Tensor]:
    holders = (getattr(module, "weight", None), getattr(module, "state", None))
    found = (getattr(holder, name, None) for holder in holders)
    return [tensor for tensor in found if isinstance(tensor, Tensor)]


def _is_transposed(module: nn.Module) -> bool:
    """Return True if a weight is ``(in, out)``, as in Transformers' Conv1D."""
    return not hasattr(module, "out_features") and hasattr(module, "nf")


def _movable_weight(module: nn.Module, block: Block) -> Tensor:
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.device.type == "meta":
        raise ModelPatchError(
            f"the weights of layer {block.layer} are not in memory (offloaded); load the model on "
            "one device, or write a reordered checkpoint with 'pace cluster MODEL -o DIR'"
        )
    if isinstance(weight, Tensor) and weight.ndim == 2:
        eight_bit = weight.dtype == torch.int8 and bool(_row_scales(module))
        if weight.is_floating_point() or eight_bit:
            return weight
    raise ModelPatchError(
        f"layer {block.layer} has quantized weights ({type(module).__name__}), whose neurons "
        "cannot be moved; write a reordered checkpoint with 'pace cluster MODEL -o DIR' and "
        "load that one quantized"
    )
