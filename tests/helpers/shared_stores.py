"""Stores that several machines reach, as far as one machine has them."""

from __future__ import annotations

import functools
import importlib.util
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

BUCKET = "pace-tests"
S3 = pytest.param("s3", marks=pytest.mark.allow_hosts(["127.0.0.1", "localhost"]))
SHARED = ("file", "memory", S3)
# What a suite of one machine's folders is run with; all kinds take long and show little more.
SUITE = ("folder", *SHARED) if os.environ.get("PACE_EVERY_STEP") else ("folder", S3)
Places = Callable[[str], Path | str]


@functools.cache
def start_s3() -> str:
    """Start a server that speaks S3 on this machine; it ends with the process.

    Returns:
        Its address.
    """
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    return address


def set_up_store(kind: str, patch: pytest.MonkeyPatch) -> None:
    """Make a kind of store reachable; skip where what it needs is not installed."""
    if kind != "s3":
        return
    for name in ("moto", "s3fs"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": start_s3(),
    }.items():
        patch.setenv(name, value)


def new_url(kind: str, folder: Path) -> str:
    """Return the address of a folder that nobody has used."""
    name = uuid.uuid4().hex
    places = {"file": f"file://{folder}", "memory": "memory://pace", "s3": f"s3://{BUCKET}"}
    return f"{places[kind]}/{name}"


@pytest.fixture(params=SHARED, name="store_kind")
def store_kind_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of store that several machines share."""
    set_up_store(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture(name="url")
def url_fixture(store_kind: str, tmp_path: Path) -> str:
    """The address of a folder on it that nobody has used."""
    return new_url(store_kind, tmp_path / "remote")


@pytest.fixture(params=SUITE, name="place_kind")
def place_kind_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """``"folder"``, for this machine alone, or a kind of store that several share.

    What a test marked ``local_folder`` says holds for a folder by its nature.
    """
    kind, mark = str(request.param), request.node.get_closest_marker("local_folder")
    if kind != "folder" and mark is not None:
        pytest.skip(mark.args[0])
    set_up_store(kind, monkeypatch)
    return kind


@pytest.fixture(name="at")
def at_fixture(place_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Where a library of some name lies: a folder, or an address.

    With an address, each time it is asked for is on another machine.
    """
    if place_kind == "folder":
        return lambda name: tmp_path / name
    url = new_url(place_kind, tmp_path / "remote")
    machines = iter(range(99))

    def at(name: str) -> str:
        monkeypatch.setenv("PACE_HOME", str(tmp_path / f"machine{next(machines)}"))
        return f"{url}/{name}"

    return at
