"""Rotary positions stretched beyond what a model was trained on (YaRN, arXiv 2309.00071)."""

from __future__ import annotations

from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import PreTrainedConfig


def stretch_positions(config: PreTrainedConfig, context: int | None) -> PreTrainedConfig:
    """Stretch a configuration's rotary positions to a context, in place, and return it.

    Args:
        config: Configuration of a causal language model.
        context: Tokens to reach; None is four times what the model was made for.

    Raises:
        ConfigError: The model has no plain rotary positions, or reaches as far already.
    """
    text = config.get_text_config()
    rope, own = getattr(text, "rope_parameters", None), text.max_position_embeddings
    if not isinstance(rope, dict) or rope.get("rope_type") != "default":
        raise ConfigError(
            f"overflow='yarn' needs plain rotary positions, and {config.model_type!r} has "
            f"{rope!r}; read fewer documents, or try overflow='window'"
        )
    wanted = 4 * own if context is None else context
    if wanted <= own:
        raise ConfigError(f"the model reads {own} tokens as it is; overflow='yarn' needs more")
    text.rope_parameters = {
        **rope,
        "rope_type": "yarn",
        "factor": wanted / own,
        "original_max_position_embeddings": own,
    }
    text.max_position_embeddings = wanted
    return config
