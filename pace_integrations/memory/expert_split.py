"""One bank per module: activations viewed as modules of equal width, each remembered by itself.

With ``similarity="experts"`` a module is a block of neighboring neurons, as concatenated experts
lie after their neurons were reordered. Each module of each token has its own similarities,
thresholds and fusion, as if it were a sequence of its own; no code of the rules knows of it.
"""

from __future__ import annotations

from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError


def count_modules(features: int, config: MemoryConfig) -> int:
    """Return the modules of a bank of `features` features.

    Raises:
        ConfigError: They do not divide the features.
    """
    experts = config.experts or 1
    if features % experts:
        fitting = ", ".join(str(n) for n in range(1, features + 1) if features % n == 0)
        raise ConfigError(
            f"experts={experts} does not divide the {features} features of the feed-forward "
            f"block; choose one of {fitting}"
        )
    return experts


def split_modules(x: Tensor, modules: int) -> Tensor:
    """View activations ``(B, C, features)`` as rows ``(B * E, C, features / E)``.

    A view for one sequence or one module, whatever the number of the other.
    """
    rows: Tensor = x.unflatten(-1, (modules, -1)).transpose(1, 2).flatten(0, 1)
    return rows


def merge_modules(x: Tensor, modules: int) -> Tensor:
    """Join what `split_modules` took apart ``(B, C, features)``."""
    whole: Tensor = x.unflatten(0, (-1, modules)).transpose(1, 2).flatten(2)
    return whole


def repeat_per_module(x: Tensor, modules: int) -> Tensor:
    """Repeat what holds for a sequence ``(B, ...)`` for each of its modules ``(B * E, ...)``."""
    return x if modules == 1 else x.repeat_interleave(modules, dim=0)
