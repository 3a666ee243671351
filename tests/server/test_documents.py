"""Files, libraries, the search in them, and the pages that citations lead to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pdfs import scanned, typeset
from serving import GATE, INVOICE, RunningServer, serve

from pace_integrations import Pace
from pace_integrations.server import ServerSettings, make_app

OVEN = b"The oven is a Marlow 200 and takes an hour."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def server(nano: Pace, data: Path) -> Iterator[RunningServer]:
    with serve(make_app(nano, ServerSettings(data=data))) as running:
        yield running


def upload(server: RunningServer, name: str, content: bytes) -> httpx.Response:
    form = {"purpose": "assistants"}
    return server.client.post("/v1/files", files={"file": (name, content)}, data=form)


def make_library(server: RunningServer, **contents: bytes) -> str:
    """Upload files under their names, read them into a library, and return its id."""
    ids = [upload(server, name.replace("_", "."), c).json()["id"] for name, c in contents.items()]
    made = server.post("/v1/vector_stores", {"name": "house", "file_ids": ids}).json()
    assert made["object"] == "vector_store"
    server.wait_until_read()
    return made["id"]


def list_files(server: RunningServer, library: str) -> dict[str, dict]:
    rows = server.client.get(f"/v1/vector_stores/{library}/files").json()["data"]
    return {row["pace"]["filename"]: row for row in rows}


def test_a_file_comes_back_as_it_went(server: RunningServer) -> None:
    made = upload(server, "gate.txt", GATE).json()
    assert (made["object"], made["filename"], made["bytes"]) == ("file", "gate.txt", len(GATE))
    assert upload(server, "gate.txt", GATE).json()["id"] == made["id"]
    content = server.client.get(f"/v1/files/{made['id']}/content")
    assert content.content == GATE
    assert content.headers["content-disposition"].startswith("attachment")
    assert made["id"] in [f["id"] for f in server.client.get("/v1/files").json()["data"]]
    gone = server.client.delete(f"/v1/files/{made['id']}").json()
    assert gone == {"id": made["id"], "object": "file", "deleted": True}
    assert server.client.get(f"/v1/files/{made['id']}").status_code == 404


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("Grüße 日本.txt", "Grüße 日本.txt"),
        ("a" * 300 + ".txt", "a" * 100 + ".txt"),
        (".txt", "file.txt"),
    ],
)
def test_names_of_files_are_names_only(
    server: RunningServer, data: Path, name: str, kept: str
) -> None:
    made = upload(server, name, name.encode()).json()
    assert made["filename"] == kept
    (path,) = (data / "files" / "local" / made["id"] / "content").iterdir()
    assert path.name == kept


def test_a_form_without_a_file_or_of_another_kind_is_refused(server: RunningServer) -> None:
    assert server.client.post("/v1/files", data={"purpose": "x"}).status_code == 415
    form = {"other": ("a.txt", b"x")}
    assert server.client.post("/v1/files", files=form).status_code == 400
    assert upload(server, "a.txt", b"").status_code == 400
    reply = upload(server, "a.exe", b"MZ\x90\x00\x03")
    assert reply.status_code == 415
    assert ".pdf" in reply.json()["error"]["message"]
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert server.client.post("/v1/files", content=b"y", headers=broken).status_code == 400


def test_a_library_is_a_model_and_cites_its_files(server: RunningServer) -> None:
    library = make_library(server, gate_txt=GATE, oven_txt=OVEN)
    about = server.client.get(f"/v1/vector_stores/{library}").json()
    assert about["status"] == "completed"
    assert about["file_counts"]["completed"] == about["file_counts"]["total"] == 2
    assert about["usage_bytes"] > 0
    ids = [model["id"] for model in server.client.get("/v1/models").json()["data"]]
    assert f"pace/{library}" in ids
    assert server.client.get(f"/v1/models/pace/{library}").json()["context_length"] > 0
    asked = {"model": f"pace/{library}", "input": "When does the gate open?"}
    made = server.post("/v1/responses", asked).json()
    notes = made["output"][0]["content"][0]["annotations"]
    assert {note["file_id"] for note in notes} <= {
        row["id"] for row in list_files(server, library).values()
    }
    tool = {"type": "file_search", "vector_store_ids": [library]}
    include = ["file_search_call.results"]
    body = {"input": "When does the gate open?", "tools": [tool], "include": include}
    searched = server.post("/v1/responses", body).json()
    assert searched["output"][0]["type"] == "file_search_call"
    assert searched["output"][0]["status"] == "completed"
    assert isinstance(searched["output"][0]["results"], list)
    assert searched["output"][1]["content"][0]["text"] == made["output"][0]["content"][0]["text"]


def test_the_search_finds_the_page(server: RunningServer) -> None:
    library = make_library(server, gate_txt=GATE, invoice_pdf=typeset(*INVOICE, title="Invoice"))
    path = f"/v1/vector_stores/{library}/search"
    found = server.post(path, {"query": "total amount due", "max_num_results": 3}).json()
    best = found["data"][0]
    assert (best["filename"], best["attributes"]["page"]) == ("invoice.pdf", 2)
    assert "381.50" in best["content"][0]["text"]
    assert server.post(path, {"query": " "}).status_code == 400


def test_what_cannot_be_read_says_why(server: RunningServer) -> None:
    library = make_library(
        server, gate_txt=GATE, scan_pdf=scanned(), broken_pdf=b"%PDF-1.4\nnothing"
    )
    rows = list_files(server, library)
    assert rows["gate.txt"]["status"] == "completed"
    for name in ("scan.pdf", "broken.pdf"):
        assert rows[name]["status"] == "failed"
        assert rows[name]["last_error"]["message"]
    assert "OCR" in rows["scan.pdf"]["last_error"]["message"]
    about = server.client.get(f"/v1/vector_stores/{library}").json()
    assert about["file_counts"]["failed"] == 2


def test_a_library_without_a_readable_file_refuses_questions(server: RunningServer) -> None:
    empty = make_library(server)
    unread = make_library(server, scan_pdf=scanned())
    for library, word in ((empty, "add files"), (unread, "scan.pdf")):
        reply = server.post("/v1/responses", {"model": f"pace/{library}", "input": "Hello"})
        assert reply.status_code == 400
        assert word in reply.json()["error"]["message"]


def test_files_are_taken_out_and_libraries_removed(server: RunningServer, data: Path) -> None:
    library = make_library(server, gate_txt=GATE, oven_txt=OVEN)
    gate = list_files(server, library)["gate.txt"]["id"]
    path = f"/v1/vector_stores/{library}"
    assert server.client.delete(f"{path}/files/{gate}").json()["deleted"] is True
    server.wait_until_read()
    assert list(list_files(server, library)) == ["oven.txt"]
    assert server.post(f"{path}/search", {"query": "gate opens"}).json()["data"] == []
    assert server.client.delete(path).json()["deleted"] is True
    assert server.client.get(path).status_code == 404
    assert server.client.get(f"/v1/files/{gate}").status_code == 200
    assert (
        server.post("/v1/responses", {"model": f"pace/{library}", "input": "x"}).status_code == 404
    )


def test_lists_come_in_parts(server: RunningServer) -> None:
    ids = [upload(server, f"{i}.txt", f"Note {i}.".encode()).json()["id"] for i in range(3)]
    seen, after = [], None
    while True:
        query = {"limit": 2, **({"after": after} if after else {})}
        part = server.client.get("/v1/files", params=query).json()
        seen += [row["id"] for row in part["data"]]
        after = part["last_id"]
        if not part["has_more"]:
            break
    assert len(seen) == len(set(seen))
    assert set(ids) <= set(seen)


def test_a_restart_reads_nothing_again(nano: Pace, tmp_path: Path) -> None:
    settings = ServerSettings(data=tmp_path)
    question = {"input": "When does the gate open?", "temperature": 0}
    with serve(make_app(nano, settings)) as first:
        library = make_library(first, gate_txt=GATE)
        question["model"] = f"pace/{library}"
        before = first.post("/v1/responses", question).json()
    with serve(make_app(nano, settings)) as second:
        second.wait_until_read()
        opened = second.core.libraries.get("local", library).backend
        assert opened.tokens_read == 0
        after = second.post("/v1/responses", question).json()
        assert after["output"][0]["content"][0]["text"] == before["output"][0]["content"][0]["text"]
        again = [r["status"] for r in list_files(second, library).values()]
        assert again == ["completed"]


def test_a_folder_is_a_library_that_cannot_be_changed(
    nano: Pace, papers: Path, tmp_path: Path
) -> None:
    settings = ServerSettings(data=tmp_path, folders=(papers,))
    with serve(make_app(nano, settings)) as running:
        running.wait_until_read()
        assert running.client.get("/ready").json() == {"ready": True, "reading": 0}
        rows = list_files(running, "papers")
        assert {name: row["status"] for name, row in rows.items()} == {
            "invoice.pdf": "completed",
            "lease.txt": "completed",
        }
        reply = running.client.delete("/v1/vector_stores/papers")
        assert reply.status_code == 400
        assert running.client.get("/v1/vector_stores/papers").json()["pace"]["removable"] is False
        tokens = running.core.libraries.get("local", "papers").backend.tokens
    with serve(make_app(nano, settings)) as again:
        again.wait_until_read()
        opened = again.core.libraries.get("local", "papers").backend
        assert (opened.tokens, opened.tokens_read) == (tokens, 0)


def test_a_folder_may_have_any_name(nano: Pace, tmp_path: Path) -> None:
    folders = [tmp_path / name / "Verträge #1 (2025)" for name in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "gate.txt").write_bytes(GATE)
    keys = ("some-key-1234",)
    settings = ServerSettings(data=tmp_path / "data", folders=tuple(folders), api_keys=keys)
    with serve(make_app(nano, settings)) as running:
        running.wait_until_read()
        headers = {"authorization": f"Bearer {keys[0]}"}
        rows = running.client.get("/v1/vector_stores", headers=headers).json()["data"]
        assert len({row["id"] for row in rows}) == 2
        for row in rows:
            assert row["pace"]["pages"] == 1
            query = {"query": "the gate opens"}
            path = f"/v1/vector_stores/{row['id']}/search"
            best = running.post(path, query, **headers).json()["data"][0]
            assert running.client.get(best["pace"]["url"]).status_code == 200
            model = running.client.get(f"/v1/models/pace/{row['id']}", headers=headers)
            assert model.status_code == 200


def test_a_page_shows_its_text_with_the_quote(server: RunningServer) -> None:
    library = make_library(server, invoice_pdf=typeset(*INVOICE, title="A <b>bold</b> title"))
    path = f"/pages/{library}/2"
    start = INVOICE[1].index("381.50")
    span = {"start": start, "end": start + 6}
    page = server.client.get(path, params=span)
    assert '<mark id="quote">381.50</mark>' in page.text
    assert "<b>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    plain = server.client.get(path, params={**span, "format": "json"}).json()
    assert plain["text"] == INVOICE[1]
    assert (plain["page"], plain["span"]) == (2, [start, start + 6])
    for wild in ({"start": -5, "end": 10**9}, {"start": 9, "end": 3}):
        assert server.client.get(path, params=wild).status_code == 200
    assert server.client.get(path, params={"start": "x"}).status_code == 400


def test_a_page_of_a_pdf_is_drawn_with_the_quote(server: RunningServer) -> None:
    pytest.importorskip("pypdfium2")
    image = pytest.importorskip("PIL.Image")
    from io import BytesIO

    library = make_library(server, invoice_pdf=typeset(*INVOICE))
    start = INVOICE[1].index("381.50")
    query = {"format": "png", "start": start, "end": start + 6}
    with_quote = server.client.get(f"/pages/{library}/2", params=query)
    assert with_quote.headers["content-type"] == "image/png"
    picture = image.open(BytesIO(with_quote.content)).convert("RGB")
    colors = {color for _, color in picture.getcolors(2**24)}
    assert (255, 226, 77) in colors
    plain = server.client.get(f"/pages/{library}/2", params={"format": "png"})
    assert (255, 226, 77) not in {
        c for _, c in image.open(BytesIO(plain.content)).convert("RGB").getcolors(2**24)
    }


def test_a_page_of_a_text_has_no_picture(server: RunningServer) -> None:
    library = make_library(server, gate_txt=GATE)
    assert server.client.get(f"/pages/{library}/1", params={"format": "png"}).status_code == 415
