"""Tiny models that a library is read with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from checkpoints import save_tiny
from shared_stores import at_fixture, place_kind_fixture, store_kind_fixture, url_fixture

from pace_integrations import Pace

__all__ = ["at_fixture", "place_kind_fixture", "store_kind_fixture", "url_fixture"]


@pytest.fixture(scope="package")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pace]:
    """A tiny random Llama."""
    with Pace.load(save_tiny(tmp_path_factory.mktemp("llama"), "llama"), memory=None) as pace:
        yield pace
