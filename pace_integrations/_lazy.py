"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence

from pace_integrations._renamed import resolve_renamed


def resolve_name(package: str, homes: Mapping[str, str], name: str) -> object:
    """Import a name of a package from its module, and keep it there.

    Args:
        package: The package's ``__name__``.
        homes: Module below the package by the name that it holds.
        name: The name that was asked for; one of version 0.1 is found under its name now.

    Raises:
        AttributeError: The package offers no such name.
    """
    if name not in homes:
        return resolve_renamed(package, name, depth=3)
    value: object = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value


def offer_names(
    package: str, homes: Mapping[str, str], offered: Sequence[str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package whose names are imported late.

    Args:
        package: The package's ``__name__``.
        homes: Module below the package by the name that it holds.
        offered: The package's ``__all__``.
    """

    def find_name(name: str) -> object:
        return resolve_name(package, homes, name)

    def list_names() -> list[str]:
        return sorted({*offered, *vars(sys.modules[package])})

    return find_name, list_names
