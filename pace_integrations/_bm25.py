"""Ranking by words, without the array library that bm25s would start for it.

Where JAX is installed, bm25s computes with it as soon as it is imported, which takes three quarters
of a GPU's memory for as long as the process lives.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["BM25", "tokenize"]


@contextmanager
def _hide_jax() -> Iterator[None]:
    """Let imports fail to find JAX, unless this process has it already."""
    if "jax" in sys.modules:
        yield
        return
    sys.modules["jax"] = None  # type: ignore[assignment] # so an import statement finds none
    try:
        yield
    finally:
        del sys.modules["jax"]


with _hide_jax():
    from bm25s import BM25, tokenize
