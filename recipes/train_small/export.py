"""A trained adapter in PEFT's format: `python -m recipes.train_small.export STATE OUT`."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.train_small.adapter import ATTENTION, FEED_FORWARD
from recipes.train_small.index import LAYERS
from recipes.train_small.rows import SINK, VERIFICATION

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
SCALE = 2.0


def load_named(path: Path) -> dict[str, Tensor]:
    """Read the matrices of a training state, of an adapter in PEFT's format, or by their names."""
    if path.suffix == ".safetensors":
        return {_short(name): tensor for name, tensor in load_file(path).items()}
    named: dict[str, Tensor] = torch.load(path, weights_only=True)["adapter"]
    return named


def _short(name: str) -> str:
    """Return the name that training gives a matrix of PEFT's."""
    name = name.removeprefix("base_model.model.")
    return name.replace(".lora_A.weight", ".a").replace(".lora_B.weight", ".b")


def peft_config(rank: int) -> dict[str, object]:
    """Return `adapter_config.json`."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": BASE,
        "r": rank,
        "lora_alpha": int(rank * SCALE),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(ATTENTION + FEED_FORWARD),
    }


def write_adapter(named: Mapping[str, Tensor], out: Path, layers: tuple[int, ...] = LAYERS) -> None:
    """Write the matrices in bfloat16, PEFT's configuration, and what a library needs to know."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"base_model.model.{name[:-2]}.lora_{'A' if name.endswith('.a') else 'B'}.weight": (
            tensor.to(torch.bfloat16).contiguous()
        )
        for name, tensor in named.items()
        if name.endswith((".a", ".b"))
    }
    rank = next(t.shape[0] for n, t in named.items() if n.endswith(".a"))
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    _write(out / "adapter_config.json", peft_config(rank))
    temperature = named["temp"].detach().float().exp().item() if "temp" in named else None
    _write(
        out / "reading.json",
        {
            "index_layers": list(layers),
            "skipped_tokens": SINK,
            "temperature": temperature,
            "verification": VERIFICATION,
        },
    )


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path, help="state.pt, or matrices in safetensors")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    write_adapter(load_named(given.state), given.out)


if __name__ == "__main__":
    main()
