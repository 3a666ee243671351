"""Tiny random decoders, built in code from their configurations."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SHAPE = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    # Large enough that activations differ between tokens and a change in one shows in the logits.
    "initializer_range": 0.2,
}


def tiny_model(family: str = "qwen3", seed: int = 0, **overrides: object) -> PreTrainedModel:
    """A random float32 model of a family (``"llama"``, ``"qwen2"``, ``"qwen3"``), ready to run."""
    settings = {**SHAPE, **overrides}
    if family == "qwen3":
        settings.setdefault("head_dim", 8)
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)).eval()
