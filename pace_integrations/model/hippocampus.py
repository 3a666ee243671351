"""Reads any length in constant memory: attention sinks, a window, and AHN for what leaves it.

Puts one network beside the attention of each decoder layer (arXiv 2510.07318) and makes the caches
that a model reads with. The model's own weights and code stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn

from pace_integrations.ahn import (
    AHNConfig,
    AHNWeights,
    ArtificialHippocampus,
    load_weights,
)
from pace_integrations.ahn.checkpoint import CONFIG, WEIGHTS, resize_window
from pace_integrations.errors import ConfigError, ModelLoadError, SessionFileError
from pace_integrations.model._transformers import (
    CACHE_ARGUMENTS,
    Cache,
    PreTrainedModel,
    Rotate,
    rotary_positions,
)
from pace_integrations.model.kv_cache.cache import new_cache
from pace_integrations.model.kv_cache.hippocampus import AttentionSite, HippocampusLayer
from pace_integrations.model.kv_cache.rotation import LINEAR
from pace_integrations.model.kv_cache.segments import SegmentLayer


class HippocampusPatch:
    """AHN on a model. It acts in forwards whose cache it made, and in no others.

    Args:
        model: A decoder-only model with rotary positions and full attention in every layer, such
            as Qwen 2, Qwen 3 and Llama.
        config: Kind of the networks, sinks and window.
        bare: Whether there are no networks: what leaves the window is lost.

    Attributes:
        config: Its settings.
        networks: The networks by layer, untrained.

    Raises:
        ConfigError: The model is of another shape.
    """

    def __init__(self, model: PreTrainedModel, config: AHNConfig, *, bare: bool = False) -> None:
        rotary = rotary_positions(model)
        segments = all(type(layer) is SegmentLayer for layer in new_cache(model).layers)
        if rotary is None or getattr(rotary[0], "rope_type", None) not in LINEAR or not segments:
            raise ConfigError(
                f"{type(model).__name__} cannot read on with overflow='ahn': that needs rotary "
                "positions and full attention in every layer; read fewer documents, or try "
                "overflow='yarn'"
            )
        self._model = model
        self.config = config
        layers = model.get_decoder().layers
        modules = [_find_attention(model, layer) for layer in layers]
        self.networks: dict[int, ArtificialHippocampus] = (
            {} if bare else {i: _make_network(model, m, config) for i, m in enumerate(modules)}
        )
        self._limit = int(model.config.get_text_config().max_position_embeddings)
        self._sites = [
            AttentionSite(self.networks.get(i), partial(_turn_queries, *rotary), self._limit)
            for i in range(len(modules))
        ]
        self._handles = [
            module.register_forward_pre_hook(partial(_keep_input, site), with_kwargs=True)
            for module, site in zip(modules, self._sites, strict=True)
            if site.network is not None
        ]

    @classmethod
    def load(cls, model: PreTrainedModel, weights: AHNWeights) -> Self:
        """Return a patch with trained networks.

        Raises:
            ConfigError: The model is of another shape, or its context holds less than the window.
            ModelLoadError: The networks were trained for another model.
        """
        patch = cls(model, weights.config)
        weights.load_into(patch.networks)
        for network in patch.networks.values():
            network.requires_grad_(False)
        if patch.tokens > patch._limit:
            raise ConfigError(
                f"the model was trained for {patch._limit} tokens, and {weights.config.sinks} "
                f"first tokens and a window of {weights.config.window} are more; set context"
            )
        return patch

    def new_cache(self, config: AHNConfig | None = None) -> Cache:
        """Return an empty cache to read with.

        Args:
            config: Another number of sinks or width of the window than the patch's own.
        """
        cache = new_cache(self._model)
        cache.layers = list(self._make_layers(config or self.config))
        return cache

    def _make_layers(self, config: AHNConfig) -> list[HippocampusLayer]:
        return [HippocampusLayer(site, config) for site in self._sites]

    def restore_cache(self, named: Mapping[str, Tensor]) -> Cache:
        """Restore a cache from what `cache_tensors` gave.

        Raises:
            SessionFileError: Tensors are missing, superfluous or do not fit.
        """
        cache, left = new_cache(self._model), dict(named)
        layers = self._make_layers(self.config)
        for i, layer in enumerate(layers):
            mark = f"{i}."
            own = {name: left.pop(name) for name in list(left) if name.startswith(mark)}
            layer.load_tensors(
                {name.removeprefix(mark): t.to(self._model.device) for name, t in own.items()}
            )
        if left:
            raise SessionFileError(f"the saved cache does not fit the model: {min(left)} is over")
        if len({layer.get_seq_length() for layer in layers}) > 1:
            raise SessionFileError("the saved cache does not hold the same tokens in every layer")
        cache.layers = list(layers)
        return cache

    @property
    def tokens(self) -> int:
        """Most tokens that are attended to exactly."""
        return self.config.lossless

    @property
    def sinks(self) -> int:
        """First tokens that always stay."""
        return self.config.sinks

    def fit_chunk(self, tokens: int, free: int) -> int:
        """Return `tokens`: what a chunk pushes out of the window is taken in as it goes."""
        return tokens

    def make_room(self, cache: Cache, coming: int) -> None:
        """Do nothing: room is made token by token."""

    def remove(self) -> None:
        """Take every hook off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def fetch_ahn(
    source: str | os.PathLike[str], context: int | None, *, local_files_only: bool
) -> AHNWeights:
    """Return trained networks, fetched from the Hub where they are in no local folder.

    Args:
        source: Folder, or name on the Hugging Face Hub.
        context: Tokens of sinks and window together; None are the checkpoint's own.
        local_files_only: Whether only the Hub's cache on this machine is looked at.

    Raises:
        ModelLoadError: There are none, or their files cannot be used.
        ConfigError: `context` has no room for a window.
    """
    name = os.fspath(source)
    folder = Path(name)
    if not folder.exists() and name.count("/") == 1:
        try:
            folder = Path(
                snapshot_download(
                    name, allow_patterns=[CONFIG, WEIGHTS], local_files_only=local_files_only
                )
            )
        except Exception as error:  # the Hub's client raises a dozen kinds
            raise ModelLoadError(
                f"no AHN {name!r}: it must be a folder with {CONFIG} and {WEIGHTS}, or such a "
                "repository on the Hugging Face Hub that can be reached"
            ) from error
    weights = load_weights(folder)
    return replace(weights, source=name, config=resize_window(weights.config, context))


def _find_attention(model: PreTrainedModel, layer: nn.Module) -> nn.Module:
    """Return the attention of a decoder layer, whose output goes through an ``o_proj``."""
    found = getattr(layer, "self_attn", None)
    if not isinstance(getattr(found, "o_proj", None), nn.Module):
        raise ConfigError(
            f"{type(model).__name__} keeps its attention elsewhere than Qwen and Llama, where AHN "
            "has its place; try overflow='window'"
        )
    assert isinstance(found, nn.Module)
    return found


def _make_network(
    model: PreTrainedModel, attention: nn.Module, config: AHNConfig
) -> ArtificialHippocampus:
    text = model.config.get_text_config()
    heads, hidden = int(text.num_attention_heads), int(text.hidden_size)
    size = int(getattr(text, "head_dim", None) or hidden // heads)
    held = (*attention.parameters(), *attention.buffers())  # packed weights are buffers
    place = held[0].device if held else model.device
    return ArtificialHippocampus(heads, size, hidden, config.kind).to(place)


def _keep_input(
    site: AttentionSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Keep what an attention gets until its layer of the cache takes it."""
    cache = next((kwargs[name] for name in CACHE_ARGUMENTS if name in kwargs), None)
    if isinstance(cache, Cache) and isinstance(cache.layers[0], HippocampusLayer):
        site.input = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]


def _turn_queries(embedding: nn.Module, rotate: Rotate, query: Tensor, places: Tensor) -> Tensor:
    """Return queries ``(batch, heads, tokens, size)`` moved by `places`, in float32."""
    cos, sin = embedding(query.float(), places[None])
    # YaRN scales the vectors too; that was done when they were made.
    scaling = getattr(embedding, "attention_scaling", 1.0)
    size = cos.shape[-1]
    turning = query[..., :size].float()
    turned, _ = rotate(turning, turning, cos / scaling, sin / scaling)
    return torch.cat([turned.to(query.dtype), query[..., size:]], dim=-1)
