"""The tools for assistants: in one process, over HTTP, and on standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mcp
import pytest
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from serving import GATE, RunningServer, serve

from pace_integrations import Pace
from pace_integrations.server import ServerSettings, assistant_tools, make_app
from pace_integrations.server.core import ServerCore
from pace_integrations.server.library_backend import LocalBackends

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDK's own
READING = ["list_libraries", "ask", "find_pages", "read_page", "status"]


def make_client(core: ServerCore) -> object:
    return mcp.Client(assistant_tools.make_mcp_server(core))


async def call(client, tool: str, /, **arguments: object) -> tuple[str, dict]:
    """Call a tool that works; its text and its structured content."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.content[0].text, result.structured_content


async def refuse(client, tool: str, /, **arguments: object) -> str:
    """Call a tool that refuses; what the model is told."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


async def test_an_assistant_asks_finds_and_reads(server: RunningServer) -> None:
    async with make_client(server.core) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == READING
        text, found = await call(client, "list_libraries")
        assert found["libraries"][0]["id"] == "papers"
        assert "papers" in text
        text, found = await call(client, "ask", question="What is the total amount due?")
        citation = found["citations"][0]
        assert found["answer"] in text
        assert citation["quote"] in text
        assert f"page {citation['page_label'] or citation['page']}" in text
        assert citation["document"] in text
        text, found = await call(client, "find_pages", query="total amount due", count=1)
        page = found["pages"][0]
        assert "381.50" in text
        text, found = await call(client, "read_page", number=page["passage"])
        assert found["text"] in text
        assert "381.50" in found["text"]
        text, found = await call(client, "status")
        assert found["libraries"][0]["status"] == "completed"


async def test_what_is_wrong_is_told_to_the_model(server: RunningServer) -> None:
    async with make_client(server.core) as client:
        assert "nowhere" in await refuse(client, "ask", question="Hello", library="nowhere")
        assert "question" in await refuse(client, "ask", question="")
        assert "99" in await refuse(client, "read_page", number=99)


async def test_documents_are_added_below_a_root_only(nano: Pace, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "gate.txt").write_bytes(GATE)
    (tmp_path / "secret.txt").write_bytes(b"The password is oak.")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "secret.txt")
    settings = ServerSettings(data=tmp_path / "data", roots=(tmp_path / "in",))
    core = ServerCore(nano, settings, LocalBackends(nano))
    async with make_client(core) as client:
        add = "add_documents"
        assert add in [tool.name for tool in (await client.list_tools()).tools]
        for path in (tmp_path / "secret.txt", tmp_path / "in", tmp_path / "in" / "link.txt"):
            assert "below" in await refuse(client, add, paths=[str(path)], name="house")
        (tmp_path / "in" / "link.txt").unlink()
        _, found = await call(client, add, paths=[str(tmp_path / "in")], name="house")
        (library,) = found["libraries"]
        assert library["files"]["completed"] == 1
        text, _ = await call(
            client, "ask", question="When does the gate open?", library=library["id"]
        )
        assert "gate" in text
    core.close()


async def test_long_reading_tells_how_far_it_is(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that is not open yet gives notes of progress, then an answer that says so."""
    from concurrent.futures import Future

    library = server.core.libraries.create("local", "slow")
    library.job, library.progress = Future(), (30, 100)
    monkeypatch.setattr(assistant_tools, "_TICK", 0.05)
    monkeypatch.setattr(assistant_tools, "PATIENCE", 0.2)
    notes: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        notes.append((progress, total))

    async with make_client(server.core) as client:
        result = await client.call_tool(
            "ask", {"question": "Hello", "library": library.id}, progress_callback=note
        )
    assert "30 %" in result.content[0].text
    assert result.structured_content["tokens_to_read"] == 100
    assert (30, 100) in notes
    server.core.libraries.remove(library)


async def test_over_http_the_key_decides(nano: Pace, papers: Path, tmp_path: Path) -> None:
    wire = pytest.importorskip("httpx2")
    settings = ServerSettings(data=tmp_path, folders=(papers,), api_keys=("mcp-key-1234",))
    with serve(make_app(nano, settings)) as running:
        running.wait_until_read()
        assert running.client.post("/mcp", json={}).status_code == 401
        host = {"authorization": "Bearer mcp-key-1234", "host": "evil.example"}
        assert running.client.post("/mcp", json={}, headers=host).status_code == 421
        transport = wire.AsyncHTTPTransport(uds=running.socket)
        headers = {"authorization": "Bearer mcp-key-1234"}
        async with wire.AsyncClient(transport=transport, headers=headers) as http:
            streams = streamable_http_client("http://localhost/mcp", http_client=http)
            async with mcp.Client(streams) as client:
                _, found = await call(client, "ask", question="What is the total amount due?")
                assert found["library"] == "papers"


async def test_on_standard_input(papers: Path, tmp_path: Path) -> None:
    """The command that assistants start; nothing but the protocol is on its output."""
    start = "from pace_integrations.entry import main; main()"
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-c", start, "mcp", str(papers)],
        env=os.environ
        | {"PACE_HOME": str(tmp_path), "PACE_MODEL": "pace-nano", "OMP_NUM_THREADS": "1"},
    )
    async with mcp.Client(stdio_client(parameters)) as client:
        text, _ = await call(client, "ask", question="What is the total amount due?")
        assert "page" in text
