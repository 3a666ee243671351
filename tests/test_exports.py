"""The public surface, pinned."""

from __future__ import annotations

import pytest

import pace_integrations

PUBLIC = [
    "Answer",
    "Citation",
    "Constraint",
    "Corpus",
    "Document",
    "ExpertConfig",
    "GenerationConfig",
    "Library",
    "MemoryConfig",
    "Pace",
    "PaceError",
    "ReadConfig",
    "Session",
    "Usage",
    "__version__",
]


def test_all_is_what_is_promised() -> None:
    assert pace_integrations.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_resolves(name: str) -> None:
    assert getattr(pace_integrations, name) is not None
    assert name in dir(pace_integrations)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Pase'"):
        _ = pace_integrations.Pase


def test_every_error_is_a_pace_error_and_a_builtin() -> None:
    from pace_integrations import errors

    kinds = [v for v in vars(errors).values() if isinstance(v, type) and v is not errors.PaceError]
    assert len(kinds) >= 9
    for kind in kinds:
        assert issubclass(kind, errors.PaceError)
        assert issubclass(kind, (ValueError, OSError, ImportError, ArithmeticError))
