"""What the ingress does with libraries that replicas keep on a store; one engine, without Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from inspect import isasyncgen, iscoroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from pace_integrations.ray.engine import Engine
from pace_integrations.ray.remote_backend import RemoteBackends, RemoteModel
from pace_integrations.server import ServerSettings
from pace_integrations.server.core import ServerCore
from pace_integrations.server.records import Library
from pace_integrations.store.shared_folder import SharedFolder

ME = "me"


class Handle:
    """Ray Serve's handle to an engine of this process; a call is over when it returns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def options(self, **_: object) -> Handle:
        return self

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self._engine, name))


class Method:
    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work

    def remote(self, *args: object) -> Any:
        async def collect(pieces: Any) -> list[Any]:
            return [piece async for piece in pieces]

        made = self._work(*args)
        if isasyncgen(made):
            return asyncio.run(collect(made))
        return Response(asyncio.run(made) if iscoroutine(made) else made)


class Response:
    def __init__(self, value: object) -> None:
        self._value = value

    def result(self) -> object:
        return self._value


@pytest.fixture(scope="module")
def handle(model: str) -> Handle:
    return Handle(Engine({"model": model, "memory": None}, "1GB"))


@pytest.fixture
def start(
    handle: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], ServerCore]]:
    """Start the ingress."""
    monkeypatch.setenv("PACE_HOME", str(tmp_path / "home"))
    started: list[ServerCore] = []

    def start_one() -> ServerCore:
        data = tmp_path / "data"
        backends = RemoteBackends(handle, data, f"file://{tmp_path}/store")
        started.append(ServerCore(RemoteModel(handle), ServerSettings(data=data), backends))
        return started[-1]

    yield start_one
    for core in started:
        core.close()


def add_library(core: ServerCore, text: str) -> Library:
    library = core.libraries.create(ME, "a library")
    upload = core.uploads.add(ME, "text.txt", text.encode(), "assistants")
    core.libraries.add_uploads(library, [upload.id])
    library.job.result(60)
    assert [entry.status for entry in library.files.values()] == ["completed"]
    return library


def files_of(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def wait_for(happened: Callable[[], object]) -> None:
    for _ in range(600):
        if happened():
            return
        time.sleep(0.05)
    pytest.fail("it takes too long")


def test_a_library_that_is_removed_is_gone_from_the_store(
    start: Callable[[], ServerCore], tmp_path: Path
) -> None:
    core = start()
    gate, bread = add_library(core, "The gate is oak."), add_library(core, "Bread is warm.")
    both = core.libraries.get(ME, f"{gate.id},{bread.id}")
    asyncio.run(both.wait_until_open())
    store, copies = tmp_path / "store", tmp_path / "home/shared"
    for kept in (store / "libraries" / ME / gate.id, store / "joint" / both.folder.name, copies):
        assert [path for path in files_of(kept) if b"gate is oak" in path.read_bytes()]
    core.libraries.remove(gate)
    wait_for(lambda: not both.folder.exists() and not gate.folder.exists())
    left = files_of(store, copies, tmp_path / "data/libraries")
    assert left
    assert not [path for path in left if b"gate is oak" in path.read_bytes()]
    assert not [path for path in left if gate.id in str(path)]
    assert not files_of(store / "joint")
    # The other one is whole, also for a server that starts anew.
    again = start()
    (other,) = again.libraries.list_visible(ME)
    other.job.result(60)
    assert [passage.page.text for passage in other.backend.passages] == ["Bread is warm."]


def test_a_removal_that_is_interrupted_goes_on_with_the_next_start(
    start: Callable[[], ServerCore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    core = start()
    gate = add_library(core, "The gate is oak.")

    def refuse(folder: SharedFolder, name: str) -> None:
        raise OSError(5, "the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(SharedFolder, "remove_folder", refuse)
        core.libraries.remove(gate)
        wait_for(lambda: "stays until the server starts again" in caplog.text)
    assert core.libraries.list_visible(ME) == []
    assert files_of(tmp_path / "store")
    assert start().libraries.list_visible(ME) == []
    wait_for(lambda: not gate.folder.exists())
    assert not files_of(tmp_path / "store")
    assert not [path for path in (tmp_path / "home/shared").iterdir() if path.is_dir()]


def test_sets_of_an_earlier_run_are_removed(
    start: Callable[[], ServerCore], tmp_path: Path
) -> None:
    core = start()
    ids = [add_library(core, text).id for text in ("The gate is oak.", "Bread is warm.")]
    both = core.libraries.get(ME, ",".join(ids))
    asyncio.run(both.wait_until_open())
    assert files_of(tmp_path / "store/joint")
    start()  # the first one was killed
    wait_for(lambda: not both.folder.exists())
    assert not files_of(tmp_path / "store/joint")
