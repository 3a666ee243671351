"""Generators that work in steps and give a result at the end."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from pace_integrations.model.decode import TextDelta

T = TypeVar("T")


def run_silently(steps: Generator[object, None, T]) -> Generator[TextDelta, None, T]:
    """Do what yields nothing to show: yield an empty piece for each of its steps.

    The model's thread lets other questions in between two pieces, and stops there when the one who
    asked has left.
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield TextDelta("", 0)
