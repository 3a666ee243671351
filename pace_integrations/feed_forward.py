"""Finding the feed-forward blocks of a decoder by their structure, never by class name.

Knows modules and weights' shapes; what is done with a block is the affair of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from pace_integrations.errors import ModelPatchError

# Output projection of a feed-forward block and the projections that lead into it, any of them.
_SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("down_proj", ("up_proj", "gate_up_proj")),
    ("fc2", ("fc1",)),
    ("c_proj", ("c_fc",)),
    ("dense_4h_to_h", ("dense_h_to_4h",)),
    ("fc_out", ("fc_in",)),
    ("w2", ("w1",)),
)
_REMEDY = (
    "pass modules=[...] with the names of the output projections of its feed-forward blocks, as "
    "model.named_modules() spells them, or turn the memory off with memory=None"
)


# Names of the projection whose rows decide when a neuron fires, where a block has several.
_GATES = ("gate_proj", "gate_up_proj", "w1")
_COMPANIONS = {"up_proj": ("gate_proj",), "w1": ("w3",)}


@dataclass(frozen=True)
class Block:
    """A dense feed-forward block.

    Attributes:
        layer: 0-based decoder layer.
        inputs: Projections that lead into the intermediate activation, the one whose rows
            describe the neurons first: the gate where there is one.
        output: Projection that leads out of it.
        vectors: Parameters in between with one value per neuron, such as an inner norm's weight.
        neurons: Width of the intermediate activation.
    """

    layer: int
    inputs: tuple[nn.Module, ...]
    output: nn.Module
    vectors: tuple[nn.Parameter, ...]
    neurons: int


def find_blocks(model: nn.Module, layers: Sequence[int] | None = None) -> list[Block]:
    """Find feed-forward blocks with all their projections.

    Args:
        model: A decoder, or a model that holds one.
        layers: 0-based layers; None takes every dense one.

    Raises:
        ModelPatchError: A layer does not exist, holds no block of a known form, or routes its
            tokens to experts.
    """
    chosen = dense_layers(model) if layers is None else layers
    outputs = find_projections(model, chosen)
    return [_build_block(index, output, model) for index, output in outputs.items()]


def _build_block(index: int, output: nn.Module, model: nn.Module) -> Block:
    parent = next(m for m in model.modules() if any(c is output for c in m.children()))
    children = dict(parent.named_children())
    name = next(n for n, child in children.items() if child is output)
    leading = next(inputs for out, inputs in _SHAPES if out == name)
    names = [n for n in leading if n in children]
    names += [c for n in names for c in _COMPANIONS.get(n, ()) if c in children]
    names.sort(key=lambda n: n not in _GATES)
    neurons, taken = input_width(output), {name, *names}
    # Told from norms of the residual stream by their length alone.
    others = (child for n, child in children.items() if n not in taken)
    vectors = tuple(
        p
        for child in others
        for p in child.parameters()
        if p.shape == (neurons,) and neurons != output_width(output)
    )
    return Block(index, tuple(children[n] for n in names), output, vectors, neurons)


def output_width(projection: nn.Module) -> int:
    """Return the features that a projection gives out.

    Raises:
        ModelPatchError: The module says nothing about its output.
    """
    features = getattr(projection, "out_features", getattr(projection, "nf", None))
    if not isinstance(features, int):
        raise ModelPatchError(
            f"{type(projection).__name__} is not a linear projection with out_features; " + _REMEDY
        )
    return features


def default_layers(depth: int) -> tuple[int, ...]:
    """Return the paper's layers at another depth: ``floor(12 n / 28)`` and ``floor(26 n / 28)``.

    PaceLLM (arXiv 2506.17310) puts its banks into layers 13 and 27 of 28, counted from 1.

    >>> default_layers(28), default_layers(4)
    ((12, 26), (1, 3))
    """
    return tuple(sorted({12 * depth // 28, 26 * depth // 28}))


def find_decoder(model: nn.Module) -> nn.Module:
    """Find the module that owns the list of decoder layers.

    In a multimodal model this is the language tower: the one that holds the token embedding.

    Raises:
        ModelPatchError: No list of layers with feed-forward blocks is found.
    """
    owners = [module for module in model.modules() if _layer_list(module) is not None]
    words = getattr(model, "get_input_embeddings", lambda: None)()
    for owner in owners:
        if words is not None and any(module is words for module in owner.modules()):
            return owner
    if owners:
        return owners[0]
    raise ModelPatchError(
        f"{type(model).__name__} has no decoder layers with a feed-forward block of a known form; "
        + _REMEDY
    )


def find_projections(
    model: nn.Module, layers: Sequence[int] | None, modules: Sequence[str] | None = None
) -> dict[int, nn.Module]:
    """Find output projections of the feed-forward blocks that are to carry a bank, by layer.

    Args:
        model: A decoder, or a model that holds one.
        layers: 0-based layers; None takes `default_layers`.
        modules: Names of the output projections of all layers, in order, for models whose
            structure is not known.

    Raises:
        ModelPatchError: A layer does not exist, holds no block of a known form, or routes its
            tokens to experts.
    """
    found = [model.get_submodule(m) for m in modules] if modules else list(_find_layers(model))
    chosen = default_layers(len(found)) if layers is None else tuple(layers)
    for layer in chosen:
        if not 0 <= layer < len(found):
            raise ModelPatchError(
                f"layer {layer} does not exist: {type(model).__name__} has {len(found)} decoder "
                f"layers, 0 to {len(found) - 1}; set MemoryConfig.layers to existing ones"
            )
    return {i: found[i] if modules else _find_projection(found[i], i) for i in chosen}


def dense_layers(model: nn.Module) -> tuple[int, ...]:
    """Return the layers that can carry a bank: with one feed-forward block of a known form.

    Raises:
        ModelPatchError: There is none.
    """
    layers = _find_layers(model)
    dense = (
        not _is_mixture(layer) and len(list(_matching_outputs(layer))) == 1 for layer in layers
    )
    found = tuple(i for i, fits in enumerate(dense) if fits)
    if not found:
        raise ModelPatchError(f"{type(model).__name__} has no dense feed-forward block; " + _REMEDY)
    return found


def input_width(projection: nn.Module) -> int:
    """Return the features that an output projection takes in.

    Raises:
        ModelPatchError: The module says nothing about its input.
    """
    features = getattr(projection, "in_features", None)
    if features is None and hasattr(projection, "nf"):  # Transformers' Conv1D: weight is (in, out)
        features = projection.get_parameter("weight").shape[0]
    if not isinstance(features, int):
        raise ModelPatchError(
            f"{type(projection).__name__} is not a linear projection with in_features; " + _REMEDY
        )
    return features


def _matching_outputs(layer: nn.Module) -> Iterator[nn.Module]:
    """Yield output projections in a layer whose block has a projection that leads into it."""
    for module in layer.modules():
        children = dict(module.named_children())
        for output, inputs in _SHAPES:
            if output in children and any(name in children for name in inputs):
                yield children[output]


def _is_mixture(layer: nn.Module) -> bool:
    """Return True if a layer routes tokens to experts: fused ones have 3-dimensional weights."""
    if any("expert" in name.rpartition(".")[2] for name, _ in layer.named_modules()):
        return True
    plain = (m for m in layer.modules() if not isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d)))
    return any(p.ndim == 3 for m in plain for p in m.parameters(recurse=False))


def _has_block(layer: nn.Module) -> bool:
    return next(_matching_outputs(layer), None) is not None or _is_mixture(layer)


def _layer_list(owner: nn.Module) -> nn.ModuleList | None:
    """Return the list of decoder layers among a module's children."""
    for child in owner.children():
        if isinstance(child, nn.ModuleList) and any(map(_has_block, child)):
            return child
    return None


def _find_layers(model: nn.Module) -> nn.ModuleList:
    layers = _layer_list(find_decoder(model))
    assert layers is not None
    return layers


def _find_projection(layer: nn.Module, index: int) -> nn.Module:
    if _is_mixture(layer):
        raise ModelPatchError(
            f"layer {index} ({type(layer).__name__}) is a mixture of experts, whose tokens take "
            "different feed-forward blocks; the memory needs dense ones: choose dense layers with "
            "MemoryConfig.layers if the model has some, or turn the memory off with memory=None"
        )
    found = list(_matching_outputs(layer))
    if len(found) == 1:
        return found[0]
    raise ModelPatchError(
        f"layer {index} ({type(layer).__name__}) has {len(found)} feed-forward blocks of a known "
        "form, not one; " + _REMEDY
    )
