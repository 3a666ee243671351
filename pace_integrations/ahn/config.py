"""Settings of an Artificial Hippocampus Network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pace_integrations._checks import check_types, require

Kind = Literal["gdn", "dn", "mamba2"]


@dataclass(frozen=True, slots=True)
class AHNConfig:
    """What stays lossless, and what takes in the rest.

    The token at position t attends to the first `sinks` tokens and to the positions in
    ``(t - window, t]``; what lies between is read from the state.

    Attributes:
        kind: The recurrent network: ``"gdn"`` (gated delta rule), ``"dn"`` (delta rule) or
            ``"mamba2"``.
        sinks: First tokens that always stay.
        window: Latest tokens that stay, the current one included.
    """

    kind: Kind = "gdn"
    sinks: int = 128
    window: int = 8064

    def __post_init__(self) -> None:
        check_types(self)
        require(self.sinks >= 0, f"sinks must not be negative, got {self.sinks}")
        require(self.window >= 1, f"window must be at least 1, got {self.window}")

    @property
    def lossless(self) -> int:
        """Most tokens that are attended to exactly."""
        return self.sinks + self.window
