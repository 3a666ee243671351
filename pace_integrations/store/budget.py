"""Sizes as people write them."""

from __future__ import annotations

import re

from pace_integrations._checks import is_whole
from pace_integrations.errors import ConfigError

BUDGET = 32 * 2**30
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def parse_size(value: int | str) -> int:
    """Return the bytes of a number or from words like ``"20GB"`` and ``"512 MiB"``.

    Raises:
        ConfigError: It is neither.
    """
    text = str(value).lower() if isinstance(value, str) or is_whole(value) else ""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    if not match or match[2] not in _UNITS:
        raise ConfigError(f"a size is a number of bytes or like '20GB' or '512 MiB', got {value!r}")
    return int(float(match[1]) * _UNITS[match[2]])
