"""What happens to more tokens than a model's context holds, by name.

Adding a way: a row in `OVERFLOWS` and its name in `config.Overflow`. Neither torch nor Transformers
is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pace_integrations.errors import ConfigError


@dataclass(frozen=True, slots=True)
class OverflowMode:
    """A way to treat more tokens than the context holds.

    Attributes:
        about: What it is, in a few words.
        bounded: Whether documents of any length are read in constant memory.
    """

    about: str
    bounded: bool = False


OVERFLOWS: Mapping[str, OverflowMode] = {
    "error": OverflowMode("refused, with the counts"),
    "yarn": OverflowMode("rotary positions are stretched (YaRN)"),
    "window": OverflowMode("first and latest tokens stay, the others go", bounded=True),
    "ahn": OverflowMode("what leaves the window goes into a trained state", bounded=True),
}


class Window(Protocol):
    """What keeps a cache within a number of tokens."""

    @property
    def tokens(self) -> int:
        """Most tokens that are attended to exactly."""
        ...

    @property
    def sinks(self) -> int:
        """First tokens that always stay."""
        ...

    def fit_chunk(self, tokens: int, free: int) -> int:
        """Return how many tokens are read at a time, so that `free` others fit after them."""
        ...

    def make_room(self, cache: Any, coming: int) -> None:  # noqa: ANN401 - Transformers' own
        """Prepare a cache for `coming` more tokens."""
        ...


def check_overflow(overflow: str, kv: str, ahn: object) -> None:
    """Check settings of loading that must go together.

    Raises:
        ConfigError: They do not, or there is no such way.
    """
    if overflow not in OVERFLOWS:
        *others, last = (repr(name) for name in OVERFLOWS)
        raise ConfigError(f"overflow must be {', '.join(others)} or {last}, not {overflow!r}")
    if kv == "int8" and OVERFLOWS[overflow].bounded:
        raise ConfigError("kv='int8' cannot slide: leave it out, or take overflow='yarn'")
    if overflow == "ahn" and ahn is None:
        raise ConfigError(
            "overflow='ahn' needs networks that were trained for the model: ahn= takes their "
            "folder or name on the Hub; without them take overflow='window'"
        )
    if overflow != "ahn" and ahn is not None:
        raise ConfigError("ahn= acts with overflow='ahn' alone; add it, or leave ahn out")
