"""The process that parses: takes requests on standard input and tells what it finds on a pipe.

Both directions carry JSON, one object a line. A parser that crashes, hangs or is taken over by
what it reads can end this process and lie about this file; it reaches nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from pace_integrations.documents.formats.registry import read_into
from pace_integrations.documents.options import PdfEngine, ReadLimits, ReadOptions
from pace_integrations.documents.types import Page, ParseJob, ParseResult

_GRACE = 10  # seconds after which a worker whose parent is gone ends itself
_GROWTH = 64 * 2**20  # bytes after which a worker makes room for a new one


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked for.

    Attributes:
        path: The file.
        journal: File for what is parsed.
        limits: The most that the file may cost.
        pdf: Parser of PDF files.
        password: Password to try, or None.
        ocr: Languages in which pages without text are recognised, or None.
        finish: Whether to leave the file alone and make the best of the journal.
        marks: Quotes to find instead of reading: page, words, occurrence and note of each.
        target: File for a copy with the quotes highlighted, or "".
    """

    path: str
    journal: str
    limits: ReadLimits = field(default_factory=ReadLimits)
    pdf: PdfEngine = "pypdf"
    password: str | None = None
    ocr: str | None = None
    finish: bool = False
    marks: tuple[tuple[int, str, int, str], ...] = ()
    target: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """The request that `dataclasses.asdict` took apart."""
        limits, marks = ReadLimits(**values["limits"]), tuple(map(tuple, values["marks"]))
        return cls(**{**values, "limits": limits, "marks": marks})


Send = Callable[[Mapping[str, Any]], None]


def _size() -> int:
    """Bytes of address space that this process has; a guess where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError):
        return 2**30


def _bounded_memory(request: Request) -> None:
    """Lets this process grow by what the file may cost, and no further."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        size = Path(request.path).stat().st_size
    except OSError:
        size = 0
    most = _size() + request.limits.memory + min(size, request.limits.size)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _alarm(seconds: float) -> None:
    """Ends this process some time after its parent should have done so."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _mark(request: Request, send: Send) -> None:
    """Finds quotes in one file."""
    from pace_integrations.documents.formats.pdf_rectangles import mark_quotes

    target = Path(request.target) if request.target else None
    try:
        found = mark_quotes(Path(request.path), request.marks, target, request.password)
        send({"end": found, "sha256": ""})
    except Exception as error:  # a parser of hostile input may raise anything
        send({"end": None, "sha256": "", "problem": f"{type(error).__name__}: {error}"})


def _serve(request: Request, send: Send) -> None:
    """Reads one file and tells what it finds."""
    if request.marks:
        _mark(request, send)
        return
    job = ParseJob(
        lambda page: send({"page": asdict(page)}),
        lambda done, total: send({"at": [done, total]}),
        Path(request.journal),
        request.password,
    )
    if request.finish:
        from pace_integrations.documents.formats.pdf import read_journal

        reading, sha256 = read_journal(Path(request.journal), request.limits, job), ""
    else:
        options = ReadOptions(request.limits, request.pdf, ocr=request.ocr)
        reading, sha256 = read_into(Path(request.path), options, job)
    send({"end": None if reading is None else asdict(reading), "sha256": sha256})


def _private_output() -> TextIO:
    """The pipe to the parent; what parsers print goes nowhere."""
    pipe = os.fdopen(os.dup(1), "w", encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return pipe


def main() -> None:
    """Serves requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    pipe = _private_output()

    def send(record: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(record) + "\n")
        pipe.flush()

    size = _size()
    for line in sys.stdin:
        request = Request.from_dict(json.loads(line))
        send({"start": os.getpid()})
        _bounded_memory(request)
        _alarm(request.limits.seconds + _GRACE)
        _serve(request, send)
        _alarm(0)
        if _size() > size + _GROWTH:
            return


def reading_of(values: Mapping[str, Any]) -> ParseResult:
    """The reading that a worker took apart to send it."""
    return ParseResult(**{**values, "pages": (), "warnings": tuple(values["warnings"])})


def page_of(values: Mapping[str, Any]) -> Page:
    """The page that a worker took apart to send it."""
    return Page(**values)
