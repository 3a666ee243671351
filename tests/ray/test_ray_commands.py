"""``pace read --ray`` and ``pace serve --ray``, as a user runs them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

pytest.importorskip("ray")

from pace_integrations.store.shared_folder import SharedFolder

pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]
PAGES = 160
PACE = "from pace_integrations.entry import main; main()"


def start(cluster: Any, *words: str, home: Path) -> subprocess.Popen[str]:
    """Run the command on the cluster of the tests; what it says of itself is in ``home/said``."""
    address = cluster.get_runtime_context().gcs_address
    home.mkdir(exist_ok=True)
    with (home / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-c", PACE, *words],
            env={**os.environ, "RAY_ADDRESS": address, "PACE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )


def wait_for(
    happened: Callable[[], object], process: subprocess.Popen[str] | None, seconds: int = 120
) -> None:
    """Wait for something, as long as a process runs."""
    for _ in range(10 * seconds):
        if happened():
            return
        assert process is None or process.poll() is None
        time.sleep(0.1)
    pytest.fail("it takes too long")


def find_replicas() -> list[psutil.Process]:
    """Replicas that have a model and run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and "ServeReplica:pace:Engine" in process.name():
                found.append(process)
    return found


def test_a_reading_that_is_interrupted_goes_on(cluster: Any, model: str, tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    for book in range(20):
        pages = [f"Door {book}-{page} is oak." for page in range(PAGES // 20)]
        (books / f"book{book}.txt").write_text("\f".join(pages))
    url = f"file://{tmp_path}/shared"
    words = ["read", url, str(books), "--ray", "2", "--model", model, "--json"]
    shared = SharedFolder(url)

    def count_pages() -> int:
        return sum(len(shared.list(f"states/{name}")) for name in shared.list("states"))

    first = start(cluster, *words, home=tmp_path / "home")
    wait_for(lambda: count_pages() >= 16, first)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    said = tmp_path / "home" / "said"
    assert first.returncode == 130, said.read_text()
    left = count_pages()
    assert 16 <= left < PAGES
    second = start(cluster, *words, home=tmp_path / "home")
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said.read_text()
    told = json.loads(output)
    assert count_pages() == PAGES
    assert sum(told["shares"].values()) <= PAGES - left
    third = start(cluster, *words, home=tmp_path / "other")
    output, _ = third.communicate(timeout=300)
    assert third.returncode == 0, (tmp_path / "other" / "said").read_text()
    assert json.loads(output)["read"] == 0


def test_replicas_answer_lose_one_and_end_with_the_command(
    cluster: Any, model: str, tmp_path: Path
) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "harbor.txt").write_text("The harbor has an oak door.")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    url = f"file://{tmp_path}/shared"
    words = ["serve", str(papers), "--ray", "2", "--store", url, "--data", str(tmp_path / "data")]
    words += ["--model", model, "--port", str(port), "--no-memory"]
    process = start(cluster, *words, home=tmp_path / "home")
    body = {"model": "pace/papers", "messages": [{"role": "user", "content": "Which door?"}]}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def ask() -> str | None:
            try:
                reply = client.post("/v1/chat/completions", json={**body, "max_tokens": 8})
            except httpx.TransportError:
                return None
            return reply.json()["choices"][0]["message"]["content"] if reply.is_success else None

        said = tmp_path / "home" / "said"
        wait_for(lambda: "2 replicas answer on" in said.read_text(), process)
        wait_for(ask, process)
        expected = ask()
        assert [*tmp_path.glob("shared/**/list/00000001.json")]
        find_replicas()[0].kill()
        wait_for(ask, process)
        assert ask() == expected
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0, said.read_text()
    wait_for(lambda: not find_replicas(), None, seconds=20)
