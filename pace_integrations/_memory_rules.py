"""The memory's rules by name: what needs no tensor, for settings, the shell, reports and the docs.

Adding a rule: a row in `RULES`, and a module ``memory/rules/<name>.py`` with the function
``update_<name>``. Everything else takes its rules from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """A rule, and the defaults that belong to it.

    Attributes:
        about: What it is, in a few words.
        theta_high: Default of `MemoryConfig.theta_high`.
        theta_low: Default of `MemoryConfig.theta_low`.
        blend: Default of `MemoryConfig.blend`.
        mixes_input: Whether the activation itself takes half of what is mixed in between the
            thresholds.
    """

    about: str
    theta_high: float = 0.75
    theta_low: float = 0.25
    blend: float = 0.2
    mixes_input: bool = True


RULES: Mapping[str, RuleInfo] = {
    "released": RuleInfo("the authors' released code", mixes_input=False),
    "paper": RuleInfo("the paper's Algorithm 1", theta_high=0.7, theta_low=0.3, blend=1.0),
    "slotwise": RuleInfo("slot by slot, ours"),
}
