"""Save what was read once, and serve it over HTTP from as many processes as you like.

    $ python -m recipes.save_and_serve --ask "When does the tenancy begin?"
    1285 tokens read, 0 opened
    1 April 2025 [4]
    $ python -m recipes.save_and_serve --ask "What is the refrigerant?"
    0 tokens read, 1285 opened
    propane [1]

The first run reads the documents and keeps the session in ``house.pace``; every later one opens it
and reads no token. Several servers may listen on one port: the system spreads the connections.

    python -m recipes.save_and_serve --port 8000 &
    python -m recipes.save_and_serve --port 8000 &
    curl -s localhost:8000 -d '{"question": "When does the tenancy begin?"}'

Asking leaves no trace in a session, so that its threads need no locks. This is a server for a desk,
not for the open network: it knows neither users nor TLS.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pace_integrations import Corpus, Pace, PaceError, Session


class Server(ThreadingHTTPServer):
    """A server that shares its port with others."""

    allow_reuse_port = True
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers ``POST {"question": ...}`` with an answer as JSON."""

    def __init__(self, session: Session, *args: Any) -> None:  # noqa: ANN401 - the library's own
        self._session = session
        super().__init__(*args)

    def do_POST(self) -> None:
        """Ask the session; what is wrong with the question is the caller's to know."""
        try:
            length = int(self.headers.get("Content-Length", 0))
            question = json.loads(self.rfile.read(length))["question"]
            self._send(200, self._session.ask(question).to_dict())
        except (PaceError, ValueError, KeyError, TypeError) as error:
            self._send(400, {"error": str(error) or type(error).__name__})

    def _send(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def kept(pace: Pace, path: Path, documents: Sequence[str]) -> Session:
    """Return the session in a folder; read and saved where there is none yet."""
    if path.exists():
        return pace.open(path)
    session = pace.read(Corpus.from_paths(documents))
    session.save(path)
    return session


def main(argv: Sequence[str] | None = None) -> None:
    """Ask once with ``--ask``, and serve without it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("documents", nargs="*", default=["examples/documents"])
    parser.add_argument("--session", type=Path, default=Path("house.pace"))
    parser.add_argument("--ask", help="ask this, print the answer and end")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    with Pace.load(args.model) as pace:
        session = kept(pace, args.session, args.documents)
        print(f"{session.read_cost.read} tokens read, {session.read_cost.kept} opened", flush=True)
        if args.ask:
            print(session.ask(args.ask))
            return
        with (
            Server(("127.0.0.1", args.port), partial(Handler, session)) as server,
            contextlib.suppress(KeyboardInterrupt),
        ):
            server.serve_forever()


if __name__ == "__main__":
    main()
