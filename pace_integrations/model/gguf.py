"""GGUF files, as llama.cpp writes them: read through Transformers, and converted to safetensors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pace_integrations.errors import MissingExtraError, ModelLoadError
from pace_integrations.model._transformers import (
    forget_quantization,
    gguf_arguments,
    gguf_bar_hidden,
)

GGUF_SUFFIX = ".gguf"


def is_gguf_file(path: str) -> bool:
    """Return True if a path names a GGUF file that is there."""
    return path.lower().endswith(GGUF_SUFFIX) and Path(path).is_file()


def require_gguf() -> None:
    """Check that GGUF files can be read.

    Raises:
        MissingExtraError: The ``gguf`` extra is not installed.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError("reading GGUF files", "gguf")


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as a checkpoint in bfloat16.

    Quantized weights are expanded: what they hold is kept to bfloat16's rounding.

    Args:
        file: The GGUF file of a causal language model.
        folder: Folder to write; it is made.

    Raises:
        MissingExtraError: The ``gguf`` extra is not installed.
        ModelLoadError: The file is damaged or of an architecture that Transformers does not read.
    """
    require_gguf()
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        with gguf_bar_hidden():
            model = AutoModelForCausalLM.from_pretrained(
                file.parent, dtype=torch.bfloat16, **gguf_arguments(file.name)
            )
    except Exception as error:  # from_pretrained raises a dozen kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelLoadError(f"cannot read {str(file)!r} as a GGUF file: {reason}") from error
    forget_quantization(model)
    repair_end_token(tokenizer, model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def repair_end_token(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Give a tokenizer the end token that the model's generation settings name.

    Before 5.23, Transformers took the start token for it in some GGUF files.
    """
    end = getattr(model.generation_config, "eos_token_id", None)
    if isinstance(end, int) and end != tokenizer.eos_token_id:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
