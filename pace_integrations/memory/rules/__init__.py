"""Update rules: how a bank stores a step. Each is a module of the name that the registry gives."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from torch import Tensor

from pace_integrations._memory_rules import RULES
from pace_integrations.config import MemoryConfig
from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.lookup import LookupResult

__all__ = ["UPDATES", "UpdateRule"]

UpdateRule = Callable[[BankState, LookupResult, Tensor, MemoryConfig], BankState]


def _load_update(name: str) -> UpdateRule:
    """Return ``update_<name>`` of the module ``<name>`` in this folder."""
    update: UpdateRule = getattr(import_module(f"{__name__}.{name}"), f"update_{name}")
    return update


UPDATES: dict[str, UpdateRule] = {name: _load_update(name) for name in RULES}
