"""The process that parses: takes requests on standard input and tells what it finds on a pipe.

Both directions carry JSON, one object a line, and every page leaves as soon as it is read. A parser
that crashes, hangs or is taken over by what it reads can end this process and lie about this file;
it reaches nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from pace_integrations.documents.formats.file_parsing import parse_file
from pace_integrations.documents.formats.page_assembly import to_record
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.sandbox.request import Request

_GRACE = 10  # seconds after which a worker whose parent is gone ends itself
_RECURSION = 8_000
_GROWTH = 64 * 2**20  # bytes after which a worker makes room for a new one

SendRecord = Callable[[Mapping[str, Any]], None]


def _address_space() -> int:
    """Return the bytes of address space of this process; a guess where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError):
        return 2**30


def _limit_memory(request: Request) -> None:
    """Let this process grow by what the file may cost, and no further."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        size = Path(request.path).stat().st_size
    except OSError:
        size = 0
    limit = _address_space() + request.limits.memory + min(size, request.limits.size)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _set_alarm(seconds: float) -> None:
    """End this process some time after its parent should have done so."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _serve_marks(request: Request, send: SendRecord) -> None:
    """Find quotes in one file."""
    from pace_integrations.documents.formats.pdf.rectangles import mark_quotes

    target = Path(request.target) if request.target else None
    try:
        found = mark_quotes(Path(request.path), request.marks, target, request.password)
        send({"end": found, "sha256": ""})
    except Exception as error:  # a parser of hostile input may raise anything
        send({"end": None, "sha256": "", "problem": f"{type(error).__name__}: {error}"})


def _serve_file(request: Request, send: SendRecord) -> None:
    """Parse one file and tell what it holds, part by part."""
    job = ParseJob(
        lambda part: send(to_record(part)),
        lambda done, total: send({"at": [done, total]}),
        request.options,
        password=request.password,
    )
    result, sha256 = parse_file(Path(request.path), job)
    send({"end": {**asdict(result), "pages": ()}, "sha256": sha256})


def _open_private_pipe() -> TextIO:
    """Return the pipe to the parent; what parsers print goes nowhere."""
    pipe = os.fdopen(os.dup(1), "w", encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return pipe


def main() -> None:
    """Serve requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    sys.setrecursionlimit(_RECURSION)  # tables within tables; a crash costs this process only
    pipe = _open_private_pipe()

    def send(record: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(record) + "\n")
        pipe.flush()

    size = _address_space()
    for line in sys.stdin:
        request = Request.from_dict(json.loads(line))
        send({"start": os.getpid()})
        _limit_memory(request)
        _set_alarm(request.limits.seconds + _GRACE)
        (_serve_marks if request.marks else _serve_file)(request, send)
        _set_alarm(0)
        if _address_space() > size + _GROWTH:
            return
