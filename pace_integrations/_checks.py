"""Checks of settings against their annotations, where they are made."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pace_integrations.errors import ConfigError


def require(ok: bool, message: str) -> None:
    """Raise `ConfigError` with a message, unless something is so."""
    if not ok:
        raise ConfigError(message)


def check_types(config: object) -> None:
    """Raise `ConfigError` where a field of a frozen dataclass is not of its annotated type.

    A whole number is taken for a float, a list or another collection for a tuple, which it then
    becomes, and None for whatever it is the default of. Floats must be finite.
    """
    hints = _type_hints(type(config))  # type: ignore[arg-type]  # a class is hashable
    for field in fields(config):  # type: ignore[arg-type]
        name, hint, value = field.name, hints[field.name], getattr(config, field.name)
        if value is None and field.default is None:
            continue
        if any(get_origin(part) is tuple for part in (hint, *get_args(hint))):
            object.__setattr__(config, name, value := _to_tuple(value))
        if not _is_of_type(value, hint):
            words = [*get_args(hint)] if get_origin(hint) is Literal else None
            kind = f"one of {words}" if words else f"of type {field.type}"
            raise ConfigError(f"{name} must be {kind}, got {value!r}")
        if (plain := to_builtin(value)) is not value:
            object.__setattr__(config, name, plain)


def check_instance(value: object, kind: type, name: str, *, optional: bool = False) -> None:
    """Raise `ConfigError` unless something is of a class, or None where that may be."""
    if not (isinstance(value, kind) or (optional and value is None)):
        other = " or None" if optional else ""
        raise ConfigError(f"{name} must be a {kind.__name__}{other}, got {value!r}")


def check_path(value: object, name: str, *, optional: bool = False) -> None:
    """Raise `ConfigError` unless something can name a file, or is None where that may be."""
    if optional and value is None:
        return
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"{name} must be a path, got {value!r}")


def is_whole(value: object) -> bool:
    """Return whether something is a whole number, also one of NumPy's; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_count(value: object, name: str, least: int = 1) -> None:
    """Raise `ConfigError` unless something is a whole number, and not below a least one."""
    if not is_whole(value) or value < least:  # type: ignore[operator]
        raise ConfigError(f"{name} must be a whole number and at least {least}, got {value!r}")


def check_choice(value: object, choices: tuple[str, ...], name: str) -> None:
    """Raise `ConfigError` unless something is one of several words."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_timeout(timeout: object, name: str = "timeout") -> None:
    """Raise `ConfigError` unless a timeout is seconds, not negative, or None for never."""
    number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if timeout is not None and not (number and timeout >= 0):  # type: ignore[operator]  # NaN is not
        raise ConfigError(f"{name} must be a number, not negative, or None; got {timeout!r}")


@lru_cache
def _type_hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _to_tuple(value: object) -> object:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        with contextlib.suppress(TypeError):  # arrays of no dimension
            return tuple(map(_to_tuple, value))
    return value


def to_builtin(value: object) -> object:
    """Return numbers of NumPy as Python's, which JSON knows."""
    if isinstance(value, tuple):
        made = tuple(map(to_builtin, value))
        return value if all(a is b for a, b in zip(made, value, strict=True)) else made
    if isinstance(value, int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _is_of_type(value: object, hint: Any) -> bool:  # noqa: ANN401 - what annotations are made of
    inner, origin = get_args(hint), get_origin(hint)
    if origin is Literal:
        return value in inner
    if origin in (UnionType, Union):
        return any(_is_of_type(value, part) for part in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return len(value) == len(kinds) and all(map(_is_of_type, value, kinds))
    if hint in (int, float):
        number = isinstance(value, Integral if hint is int else Real)
        return number and not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type]
    return isinstance(value, origin or hint)
