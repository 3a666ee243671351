"""Keys, hosts, origins and namespaces."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import RunningServer, serve

from pace_integrations import Pace
from pace_integrations.errors import ConfigError
from pace_integrations.server import ServerSettings, make_app

KEYS = ("first-key-1234", "second-key-1234")
CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


@pytest.fixture(scope="module")
def keyed(nano: Pace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = ServerSettings(
        api_keys=KEYS,
        data=tmp_path_factory.mktemp("keyed"),
        origins=("https://chat.example",),
        max_upload=1000,
    )
    with serve(make_app(nano, settings)) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
@pytest.mark.parametrize("path", ["/", "/v1/models", "/health"])
def test_a_foreign_name_is_refused(server: RunningServer, host: str, path: str) -> None:
    reply = server.client.get(path, headers={"host": host})
    assert reply.status_code in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8321", "[::1]:8321", "[::1]"])
def test_the_loopback_names_are_known(server: RunningServer, host: str) -> None:
    assert server.client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
def test_pages_from_elsewhere_are_refused(server: RunningServer, origin: str) -> None:
    reply = server.post(CHAT, BODY, origin=origin)
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers
    asked = {"origin": origin, "access-control-request-method": "POST"}
    assert server.client.options(CHAT, headers=asked).status_code == 403


def test_the_own_page_is_served(server: RunningServer) -> None:
    assert server.post(CHAT, BODY, origin="http://localhost").status_code == 200


def test_an_origin_that_was_named_is_allowed(keyed: RunningServer) -> None:
    origin = {"origin": "https://chat.example"}
    asked = {**origin, "access-control-request-method": "POST"}
    allowed = keyed.client.options(CHAT, headers=asked)
    assert allowed.status_code == 204
    reply = keyed.post(CHAT, BODY, **origin, **bearer(KEYS[0]))
    assert reply.headers["access-control-allow-origin"] == "https://chat.example"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        bearer("first-key-123"),
        bearer("first-key-12345"),
        {"authorization": "Basic first-key-1234"},
        {"authorization": "first-key-1234"},
        {"x-api-key": "wrong"},
        {"x-api-key": "schlüssel".encode("latin-1")},
    ],
)
def test_without_a_key_nothing_is_told(keyed: RunningServer, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/v1/models"), ("POST", CHAT), ("GET", "/metrics")):
        reply = keyed.client.request(method, path, headers=headers)
        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("headers", [bearer(KEYS[0]), bearer(KEYS[1]), {"x-api-key": KEYS[0]}])
def test_a_key_opens(keyed: RunningServer, headers: dict[str, str]) -> None:
    assert keyed.client.get("/v1/models", headers=headers).status_code == 200


def test_health_needs_no_key(keyed: RunningServer) -> None:
    assert keyed.client.get("/health").json() == {"status": "ok"}


def test_what_is_anothers_is_not_there(keyed: RunningServer) -> None:
    mine, other = bearer(KEYS[0]), bearer(KEYS[1])
    files = {"file": ("a.txt", b"The gate opens at seven.")}
    file_id = keyed.client.post("/v1/files", files=files, headers=mine).json()["id"]
    body = {"name": "gate", "file_ids": [file_id]}
    library_id = keyed.post("/v1/vector_stores", body, **mine).json()["id"]
    keyed.wait_until_read()
    asked = {"input": "When?", "model": f"pace/{library_id}"}
    response = keyed.post("/v1/responses", asked, **mine)
    assert response.status_code == 200, response.text
    paths = [
        f"/v1/files/{file_id}",
        f"/v1/files/{file_id}/content",
        f"/v1/vector_stores/{library_id}",
        f"/v1/vector_stores/{library_id}/files",
        f"/v1/models/pace/{library_id}",
        f"/v1/responses/{response.json()['id']}",
        f"/pages/{library_id}/1",
    ]
    for path in paths:
        assert keyed.client.get(path, headers=mine).status_code == 200, path
        assert keyed.client.get(path, headers=other).status_code == 404, path
    assert keyed.post("/v1/responses", asked, **other).status_code == 404
    for path in ("/v1/files", "/v1/vector_stores"):
        assert keyed.client.get(path, headers=other).json()["data"] == []
    stolen = {"name": "x", "file_ids": [file_id]}
    assert keyed.post("/v1/vector_stores", stolen, **other).status_code == 404
    went_on = {"input": "And?", "previous_response_id": response.json()["id"]}
    assert keyed.post("/v1/responses", went_on, **other).status_code == 404
    # The link in a citation opens its page, and no other, without a key.
    note = response.json()["output"][0]["content"][0]["annotations"][0]
    assert keyed.client.get(note["url"]).status_code == 200
    assert KEYS[0] not in note["url"]
    for altered in (note["url"].replace("/1?", "/2?"), note["url"][:-1] + "~", note["url"][:40]):
        assert keyed.client.get(altered).status_code == 401


def test_an_upload_beyond_the_limit_is_refused(keyed: RunningServer) -> None:
    files = {"file": ("a.txt", b"x" * 1001)}
    for data in (files, {"file": ("a.txt", b"x" * 200_000)}):
        reply = keyed.client.post("/v1/files", files=data, headers=bearer(KEYS[0]))
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "file_too_large"


def test_no_key_is_logged(keyed: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    def list_lines() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name.startswith("pace_integrations")]

    with caplog.at_level(logging.DEBUG):
        keyed.client.get("/v1/models", headers=bearer(KEYS[0]))
        keyed.client.get("/v1/models?api_key=first-key-1234", headers=bearer("wrong-key-9999"))
        asked = {"messages": [{"role": "user", "content": "secret words"}]}
        keyed.post(CHAT, asked, **bearer(KEYS[0]))
        # The line of a request is written after its reply has gone.
        end = time.monotonic() + 10
        while not any("/v1/chat" in line for line in list_lines()) and time.monotonic() < end:
            time.sleep(0.01)
    ours = list_lines()
    assert len(ours) >= 3
    for secret in (*KEYS, "wrong-key-9999", "secret words"):
        assert secret not in "\n".join(ours)
    assert KEYS[0] not in repr(keyed.core.settings)


def test_a_request_id_is_echoed_if_it_is_harmless(server: RunningServer) -> None:
    def reply_to(given: str) -> str:
        return server.client.get("/health", headers={"x-request-id": given}).headers["x-request-id"]

    assert reply_to("abc-123") == "abc-123"
    assert reply_to("a b<script>").startswith("req_")


def test_an_open_address_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="--api-key"):
        ServerSettings(host="0.0.0.0")
    settings = ServerSettings(host="0.0.0.0", api_keys=KEYS)
    assert settings.is_known_host("box.example")
    named = ServerSettings(host="0.0.0.0", api_keys=KEYS, allowed_hosts=("box.example",))
    assert named.is_known_host("box.example")
    assert not named.is_known_host("evil.example")


def test_paths_lie_below_a_root(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    settings = ServerSettings(roots=(tmp_path / "in",))
    assert settings.find_below_root(str(tmp_path / "in" / "a.pdf")) == tmp_path / "in" / "a.pdf"
    for path in ("out", "in/../out", "in/link/a.pdf", "in-side"):
        with pytest.raises(ConfigError, match="below"):
            settings.find_below_root(str(tmp_path / path))
    with pytest.raises(ConfigError, match="--root"):
        ServerSettings().find_below_root(str(tmp_path))
