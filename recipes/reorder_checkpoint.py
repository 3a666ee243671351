"""Reorder a 7B checkpoint into experts on a small machine: one layer, then one file, at a time.

    python -m recipes.reorder_checkpoint path/to/Qwen2.5-7B-Instruct -o qwen-experts --experts 64

``pace cluster`` does the same with the whole model in memory. This reads the gate of one layer
after the other from the safetensors files, clusters it and keeps the order; then it copies file by
file, with the neurons of every layer moved. It needs the memory of the largest file (4 GB for a 7B
model) instead of the model's 15 GB. The result computes the same as the model up to the order of a
sum, and loads with plain Transformers. An interrupted run finds the layers it has clustered.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from pace_integrations import ExpertConfig
from pace_integrations._paths import cache_folder
from pace_integrations.errors import ModelLoadError
from pace_integrations.experts import Reordering, cluster_neurons
from pace_integrations.experts.cache import PermutationCache, make_cache_key
from pace_integrations.experts.permute import order_by_expert
from pace_integrations.feed_forward import Block, find_blocks
from pace_integrations.model.expert_checkpoint import NOTE, check_folder

Moves = dict[str, tuple[Tensor, int]]


class Shards:
    """The tensors of a checkpoint, read one by one."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.safetensors"))
        self.home: dict[str, Path] = {}
        for file in self.files:
            with safe_open(file, "pt") as tensors:
                self.home |= dict.fromkeys(tensors.keys(), file)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.home:
            raise ModelLoadError(f"no tensor {name!r} in the files; use 'pace cluster' here")
        with safe_open(self.home[name], "pt") as tensors:
            return tensors.get_tensor(name)


def skeleton(folder: Path) -> nn.Module:
    """Return the model without its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))


def order_of_rows(rows: Tensor, config: ExpertConfig) -> Tensor:
    """Return the order of a layer's neurons ``(d_ff,)``, from the cache if it was found before."""
    cache, key = PermutationCache(cache_folder("experts")), make_cache_key(rows, config)
    known = cache.get(key, len(rows))
    if known is None:
        known = order_by_expert(
            cluster_neurons(rows, config.experts, config.solver, config.seed)
        ).cpu()
        cache.put(key, known)
    return known


def moves(
    model: nn.Module, block: Block, order: Tensor
) -> Iterator[tuple[str, tuple[Tensor, int]]]:
    """Return what one layer's order does to its tensors: name, then order and dimension."""
    names = {id(module): name for name, module in model.named_modules()}
    if not all(isinstance(module, nn.Linear) for module in (*block.inputs, block.output)):
        raise ModelLoadError("the projections are of an unusual kind; use 'pace cluster' here")
    for module in block.inputs:
        fused = module.out_features == 2 * block.neurons
        rows = torch.cat([order, order + block.neurons]) if fused else order
        for tensor, _ in module.named_parameters():
            yield f"{names[id(module)]}.{tensor}", (rows, 0)
    yield f"{names[id(block.output)]}.weight", (order, 1)
    for name, parameter in model.named_parameters():
        if any(parameter is vector for vector in block.vectors):
            yield name, (order, 0)


def cluster(
    model: nn.Module, shards: Shards, config: ExpertConfig
) -> tuple[dict[int, Tensor], Moves]:
    """Return orders of all layers, and what they move, with one gate in memory at a time."""
    names = {id(module): name for name, module in model.named_modules()}
    orders, moved = {}, {}
    for block in find_blocks(model, config.layers):
        start = time.perf_counter()
        gate = shards[f"{names[id(block.inputs[0])]}.weight"][: block.neurons]
        orders[block.layer] = order_of_rows(gate, config)
        moved |= dict(moves(model, block, orders[block.layer]))
        print(f"layer {block.layer}: {time.perf_counter() - start:.1f} s", flush=True)
    return orders, moved


def copy(shards: Shards, moved: Mapping[str, tuple[Tensor, int]], folder: Path) -> None:
    """Copy the tensors file by file, those of `moved` in their new order."""
    for file in shards.files:
        with safe_open(file, "pt") as tensors:
            kept = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        for name in kept.keys() & moved.keys():
            order, dimension = moved[name]
            kept[name] = kept[name].index_select(dimension, order).contiguous()
        save_file(kept, folder / file.name, metadata={"format": "pt"})


def reorder(source: Path, target: Path, config: ExpertConfig) -> Reordering:
    """Write a reordered copy of a checkpoint, whole or not at all, and a note of its making."""
    check_folder(target)
    model, shards = skeleton(source), Shards(source)
    orders, moved = cluster(model, shards, config)
    done = Reordering(model, config, orders)
    note = {"experts": config.experts, "solver": config.solver, "order": done.fingerprint}
    note |= {"model": str(source), "layers": [*orders]}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as folder:
        part = Path(folder) / target.name
        part.mkdir()
        copy(shards, moved, part)
        for file in source.iterdir():
            if file.is_file() and file.suffix != ".safetensors":
                shutil.copyfile(file, part / file.name)
        (part / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        part.rename(target)
    return done


def main(argv: Sequence[str] | None = None) -> None:
    """Reorder a checkpoint folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder with config.json and safetensors files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--experts", type=int, default=64, help="experts per layer")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    config = ExpertConfig(experts=args.experts, seed=args.seed)
    done = reorder(args.model, args.output, config)
    print(f"{len(done.orders)} layers, {args.experts} experts each, in {args.output}")


if __name__ == "__main__":
    main()
