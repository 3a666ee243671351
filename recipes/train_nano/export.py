"""Packaging: weights, tokenizer and chat template as an ordinary Transformers checkpoint."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from recipes.train_nano.model import Shape, configuration
from recipes.train_nano.tokenizer import PADDING, TURN_END, load_tokenizer

CHAT_TEMPLATE = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
CONTEXT = 32768


def export(state: dict[str, Any], prepared: Path, out: Path, shape: Shape) -> None:
    """Write the averaged weights of a training state as a checkpoint in bfloat16."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(prepared)
    config = configuration(shape, tokenizer.get_vocab_size())
    config.architectures = ["Qwen3ForCausalLM"]
    config.dtype = torch.bfloat16
    config.save_pretrained(out)
    weights = {n: t.to("cpu", torch.bfloat16).contiguous() for n, t in state["average"].items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    generation = {"do_sample": False, "eos_token_id": TURN_END, "pad_token_id": PADDING}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    export_tokenizer(prepared, out)


def export_tokenizer(prepared: Path, out: Path) -> None:
    """Write the tokenizer with its chat template."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=load_tokenizer(prepared),
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|endoftext|>", "<|im_start|>"],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        add_prefix_space=True,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(out)
    AutoTokenizer.from_pretrained(out)
