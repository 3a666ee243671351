"""Arms: the ways of answering that are compared on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pace_integrations._memory_rules import RULES
from pace_integrations._renamed import keep_renamed
from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.evaluation.controls import (
    Attach,
    attach_norm_control,
    attach_random_memory,
    reorder_by_cluster,
    reorder_randomly,
)
from pace_integrations.evaluation.selection import select_bm25, select_last
from pace_integrations.evaluation.tasks import Row
from pace_integrations.evaluation.tasks.rows import Count

EXPERTS = 8  # it divides the width of nearly every model

Select = Callable[[Row, int, Count], Sequence[int]]


@dataclass(frozen=True)
class Arm:
    """One way of answering.

    Attributes:
        name: Word on the command line.
        about: What it is, in a report.
        memory: Settings of the memory, or None with the memory off.
        attach: Puts a control on the model, after the memory.
        select: Chooses the documents that are read, under a budget of tokens; None reads all.
        one_pass: Whether everything is read in a single forward.
    """

    name: str
    about: str
    memory: MemoryConfig | None = None
    attach: Attach | None = None
    select: Select | None = None
    one_pass: bool = False


_RELEASED = MemoryConfig(rule="released")
_EXPERTS = replace(_RELEASED, similarity="experts", experts=EXPERTS)

# Every arm by name; ``off`` is what the others are compared with. Adding one: a line here.
ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in [
        Arm("off", "memory off"),
        Arm("default", "memory: MemoryConfig() as it is", MemoryConfig()),
        *(Arm(rule, f"memory: {RULES[rule].about}", MemoryConfig(rule=rule)) for rule in RULES),
        Arm("keep_length", "released rule, norms kept", replace(_RELEASED, preserve_norm=True)),
        Arm("experts", f"memory by {EXPERTS} experts", _EXPERTS, reorder_by_cluster),
        Arm("blend0", "control: memory with blend 0", replace(_RELEASED, blend=0.0)),
        Arm(
            "scale_only",
            "control: the memory's change of norm alone",
            _RELEASED,
            attach_norm_control,
        ),
        Arm("random", "control: released rule, random values", _RELEASED, attach_random_memory),
        Arm("experts_random", "control: experts of random neurons", _EXPERTS, reorder_randomly),
        Arm("permuted", "noise floor: neurons reordered", None, reorder_randomly),
        Arm("full", "everything in one forward", one_pass=True),
        Arm("window", "the last documents, a share of the tokens", select=select_last),
        Arm("bm25", "BM25's best documents, the same share", select=select_bm25),
    ]
}


def choose_arms(names: Sequence[str]) -> list[Arm]:
    """Return arms by name, in order, each once, with ``off`` in front.

    Raises:
        ConfigError: There is no such arm.
    """
    if unknown := [name for name in names if name not in ARMS]:
        raise ConfigError(f"no arm {', '.join(unknown)}; there are {', '.join(ARMS)}")
    return [ARMS[name] for name in dict.fromkeys(["off", *names])]


__getattr__ = keep_renamed(__name__)
