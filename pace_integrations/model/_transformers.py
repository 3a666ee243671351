"""Every touch of Transformers' internals, so that a change in a release is mended in one place.

The rest of the package calls models through `run_decoder`, `next_token_logits` and `text_logits`,
and takes cache classes, attention registration, rotary positions and sampling from this module.
Knows nothing of prompts, sessions or files.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    LogitsProcessorList,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

__all__ = [
    "Cache",
    "CacheLayer",
    "DynamicCache",
    "DynamicLayer",
    "DynamicSlidingWindowLayer",
    "PreTrainedConfig",
    "PreTrainedModel",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
]

# Names of the forward's cache argument, the newest first (renamed in Transformers 5.24).
CACHE_ARGUMENTS = ("cache", "past_key_values")

# Untyped upstream.
sdpa_attention: Callable[..., tuple[Tensor, None]] = sdpa_attention_forward
sliding_window_mask: Callable[..., Tensor | None] = sdpa_mask

Rotate = Callable[..., tuple[Tensor, Tensor]]


# --- Forwards ---


@lru_cache(maxsize=256)
def _parameter_names(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def takes_argument(module: nn.Module, name: str) -> bool:
    """Return True if a module's forward takes an argument of this name."""
    return name in _parameter_names(type(module).forward)


def cache_argument(module: nn.Module, cache: Cache) -> dict[str, Cache]:
    """Return the cache as a keyword argument, under the name that this model's forward takes.

    Raises:
        TypeError: The forward takes a cache under none of the known names.
    """
    for name in CACHE_ARGUMENTS:
        if takes_argument(module, name):
            return {name: cache}
    known = " or ".join(CACHE_ARGUMENTS)
    raise TypeError(f"{type(module).__name__}.forward takes no {known}: it cannot keep a KV cache")


def run_decoder(model: PreTrainedModel, ids: Tensor, cache: Cache) -> None:
    """Prefill token ids ``(batch, tokens)`` into a cache, without the LM head."""
    decoder = model.get_decoder()
    decoder(input_ids=ids, use_cache=True, **cache_argument(decoder, cache))


def next_token_logits(
    model: PreTrainedModel, ids: Tensor, cache: Cache, positions: Tensor | None = None
) -> Tensor:
    """Return the logits ``(batch, vocabulary)`` of the token after each row, in float32.

    Args:
        model: A causal language model.
        ids: Token ids ``(batch, tokens)`` that follow what the cache holds.
        cache: Cache to extend.
        positions: Positions ``(batch, tokens)``, where they are not simply the next ones.
    """
    return continued_logits(model, ids, cache, 1, positions)[:, -1]


def continued_logits(
    model: PreTrainedModel, ids: Tensor, cache: Cache, count: int, positions: Tensor | None = None
) -> Tensor:
    """Return the logits ``(batch, count, vocabulary)`` behind the last tokens, in float32.

    Args:
        model: A causal language model.
        ids: Token ids ``(batch, tokens)`` that follow what the cache holds.
        cache: KV cache to extend.
        count: For how many of the last tokens.
        positions: Positions ``(batch, tokens)``, where they are not simply the next ones.
    """
    extra: dict[str, Any] = {} if positions is None else {"position_ids": positions}
    output = model(
        input_ids=ids,
        use_cache=True,
        **_keep_logits(model, count),
        **cache_argument(model, cache),
        **extra,
    )
    return output.logits[:, -count:].to(torch.float32)  # type: ignore[no-any-return]


def text_logits(model: PreTrainedModel, ids: Tensor, count: int) -> Tensor:
    """Return the logits ``(batch, count, vocabulary)`` of the last positions, without a cache."""
    output = model(input_ids=ids, use_cache=False, **_keep_logits(model, count))
    return output.logits[:, -count:]  # type: ignore[no-any-return]


def _keep_logits(model: nn.Module, count: int) -> dict[str, int]:
    """Return the argument that leaves out the logits of earlier positions, where there is one."""
    return {"logits_to_keep": count} if takes_argument(model, "logits_to_keep") else {}


# --- Caches ---


class CacheLayer(CacheLayerMixin):
    """Base class of cache layers of our own, under the method names of every supported release."""

    is_sliding = False
    is_croppable = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def get_mask_sizes(self, query_length: int | Tensor) -> tuple[int, int]:
        """Return length and offset of the keys that `query_length` more tokens see."""
        # Until Transformers 5.4 the positions of the queries come instead of their number.
        count = len(query_length) if isinstance(query_length, Tensor) else query_length
        return self.get_seq_length() + count, 0

    def get_max_length(self) -> int:
        """Return -1: there is no limit."""
        return -1

    def get_max_cache_shape(self) -> int:
        """Return -1: the name of `get_max_length` before Transformers 5.13."""
        return -1


def drop_last_tokens(layer: DynamicLayer, tokens: int) -> None:
    """Remove the last tokens of a growing layer."""
    layer.crop(-tokens)  # positive numbers changed their meaning in 5.24, negative ones did not


def replace_growing_layers(cache: Cache, kind: type[CacheLayer]) -> None:
    """Put layers of our own in the place of Transformers' plain growing ones."""
    cache.layers = [kind() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    # Set where layers are made at their first use instead of in advance.
    cache.layer_class_to_replicate = cache.layer_class_to_replicate and kind


# --- Attention ---


def register_attention(
    name: str,
    attend: Callable[..., tuple[Tensor, None]],
    mask: Callable[..., Tensor | None],
) -> None:
    """Make an attention and the mask it wants available to all models under a name."""
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, mask)


def replaceable_attention(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """Return the configurations by which a decoder's layers look up their attention.

    The list is empty for models that compute attention in code of their own, and for those that
    do not run in PyTorch's attention now.
    """
    decoder = model.get_decoder()
    free = decoder._can_set_attn_implementation()
    found = (getattr(module, "config", None) for module in decoder.modules())
    unique = list({id(c): c for c in found if isinstance(c, PreTrainedConfig)}.values())
    return unique if free and all(c._attn_implementation == "sdpa" for c in unique) else []


@contextmanager
def attention_set(configs: Sequence[PreTrainedConfig], name: str) -> Iterator[None]:
    """Run forwards inside with a registered attention; afterwards with PyTorch's again."""
    # The public setter checks, warns and walks through sub-models at every call: too slow here.
    for config in configs:
        config._attn_implementation_internal = name
    try:
        yield
    finally:
        for config in configs:
            config._attn_implementation_internal = "sdpa"


def rotary_positions(model: PreTrainedModel) -> tuple[nn.Module, Rotate] | None:
    """Return a decoder's rotary embedding and the function that applies it, or None."""
    decoder = model.get_decoder()
    embedding = getattr(decoder, "rotary_emb", None)
    rotate = getattr(sys.modules[type(decoder).__module__], "apply_rotary_pos_emb", None)
    return None if embedding is None or rotate is None else (embedding, rotate)


# --- Sampling ---


def make_sampling_filter(
    temperature: float, top_k: int | None, top_p: float
) -> Callable[[Tensor], Tensor]:
    """Return a function from logits ``(batch, vocabulary)`` to scores of the tokens to sample."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1.0:
        warpers.append(TopPLogitsWarper(top_p))
    # No warper looks at the tokens so far.
    return lambda logits: warpers(torch.LongTensor(), logits)


def disable_progress_bars() -> None:
    """Keep Transformers' progress bars (loading weights) off the terminal."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


# --- Loading ---


def gguf_arguments(file: str) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that read a GGUF file as plain dense weights."""
    # Since 5.23 weights stay packed where a kernel is found, in modules that nothing else knows.
    plain = getattr(transformers, "GgufConfig", None)
    return {"gguf_file": file} | ({"quantization_config": plain(dequantize=True)} if plain else {})


@contextmanager
def gguf_bar_hidden() -> Iterator[None]:
    """Read GGUF files inside without the bar that no setting turns off."""
    module: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar = getattr(module, "tqdm", None)
    module.tqdm = lambda items, *_, **__: items
    try:
        yield
    finally:
        module.tqdm = bar


def forget_quantization(model: PreTrainedModel) -> None:
    """Make a model whose weights were expanded at load an ordinary one, which can be saved."""
    # Transformers sets these on the model while loading; without them it is as any other.
    for name in ("hf_quantizer", "is_quantized", "quantization_method"):
        vars(model).pop(name, None)
    vars(model.config).pop("quantization_config", None)
