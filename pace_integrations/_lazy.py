"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping


def resolve_name(package: str, homes: Mapping[str, str], name: str) -> object:
    """Import a name of a package from its module, and keep it there.

    Args:
        package: The package's ``__name__``.
        homes: Module below the package by the name that it holds.
        name: The name that was asked for.

    Raises:
        AttributeError: The package offers no such name.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value
