"""Stores that several machines reach, as far as one machine has them."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("file", "memory", "s3")
BUCKET = "pace-tests"


@contextmanager
def s3_server(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a server that speaks S3 on this machine; skip where there is none installed."""
    for name in ("moto", "s3fs"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }.items():
        patch.setenv(name, value)
    try:
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
        yield
    finally:
        server.stop()


def new_url(kind: str, folder: Path) -> str:
    """Return the address of a folder that nobody has used."""
    name = uuid.uuid4().hex
    places = {"file": f"file://{folder}", "memory": "memory://pace", "s3": f"s3://{BUCKET}"}
    return f"{places[kind]}/{name}"


@pytest.fixture(scope="session", params=KINDS, name="store_kind")
def store_kind_fixture(request: pytest.FixtureRequest) -> Iterator[str]:
    """A kind of store that is running."""
    if request.param != "s3":
        yield request.param
        return
    with pytest.MonkeyPatch.context() as patch, s3_server(patch):
        yield request.param


@pytest.fixture(name="url")
def url_fixture(store_kind: str, tmp_path: Path) -> str:
    """The address of a folder on it that nobody has used."""
    return new_url(store_kind, tmp_path / "remote")
