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

# What a family calls by other names, or needs besides.
FAMILIES: dict[str, dict[str, object]] = {
    "apertus": {},
    "arcee": {},
    "biogpt": {},
    "bloom": {},
    "cohere": {"logit_scale": 1.0},
    "cohere2": {"logit_scale": 1.0},
    "ernie4_5": {"head_dim": 8},
    "exaone4": {},
    "falcon": {},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 16},
    "gemma3_text": {"head_dim": 8, "sliding_window": 16},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neox": {},
    "gptj": {"rotary_dim": 4},
    "granite": {},
    "helium": {"head_dim": 8},
    "lfm2": {"full_attn_idxs": [0, 1, 2, 3], "block_auto_adjust_ff_dim": False},
    "llama": {},
    "mistral": {},
    "mpt": {},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 32},
    "persimmon": {},
    "phi": {},
    "phi3": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "seed_oss": {"head_dim": 8},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "xglm": {"ffn_dim": 96},
}


def tiny_model(family: str = "qwen3", seed: int = 0, **overrides: object) -> PreTrainedModel:
    """A random float32 model of a family, named as in Transformers, ready to run."""
    settings = {**SHAPE, **FAMILIES.get(family, {}), **overrides}
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)).eval()
