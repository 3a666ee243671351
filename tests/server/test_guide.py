"""The code of the guide runs as it stands, against a server on a Unix socket."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess

import httpx
import pytest
from serving import RunningServer
from shown import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # the clients' own

GUIDE = (ROOT / "docs/pages/guides/server.md").read_text("utf-8")
BLOCKS = re.findall(r"^```py\n(.*?)^```$", GUIDE, re.M | re.S)
CURL = re.findall(r"^```bash\n(curl .*?)^```$", GUIDE, re.M | re.S)


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.split()[1])
def test_the_code_of_the_guide_runs(
    server: RunningServer, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (httpx, pytest.importorskip("httpx2")):
        plain = module.HTTPTransport.__init__

        def reach(self, *args, plain=plain, **options) -> None:
            plain(self, *args, **{**options, "uds": server.socket, "socket_options": None})

        monkeypatch.setattr(module.HTTPTransport, "__init__", reach)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "guide", "exec"), {})
    assert re.search(r"invoice.pdf|Invoice|quote|lease|^[12] |completed", printed.getvalue(), re.M)


def test_the_guide_has_every_client() -> None:
    assert len(BLOCKS) == 5
    assert len(CURL) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")
def test_curl_gets_an_answer(server: RunningServer) -> None:
    (command,) = CURL
    reached = command.replace("curl ", f"curl --unix-socket {server.socket} ", 1)
    done = subprocess.run(reached, shell=True, capture_output=True, text=True, check=True)
    assert '"status":"completed"' in done.stdout
    assert '"file_citation"' in done.stdout
