"""A server with two libraries, on the model inside the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import INVOICE, LEASE, RunningServer, serve

pytest.importorskip("fastapi")

from pace_integrations import Pace
from pace_integrations.server import ServerSettings, make_app


@pytest.fixture(scope="package")
def nano() -> Iterator[Pace]:
    with Pace.load("pace-nano") as loaded:
        yield loaded


@pytest.fixture(scope="package")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an invoice of two pages and a lease."""
    from pdfs import typeset

    folder = tmp_path_factory.mktemp("served") / "papers"
    folder.mkdir()
    (folder / "invoice.pdf").write_bytes(typeset(*INVOICE, title="Invoice"))
    (folder / "lease.txt").write_text(LEASE)
    return folder


@pytest.fixture(scope="package")
def server(
    nano: Pace, papers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server without keys that has read the folder."""
    settings = ServerSettings(folders=(papers,), data=tmp_path_factory.mktemp("data"))
    with serve(make_app(nano, settings)) as running:
        running.wait_until_read()
        yield running
