"""What is known of a library: its files, what became of them, and what answers from it."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pace_integrations import _files
from pace_integrations._paths import folder_size
from pace_integrations.documents import Corpus, Report
from pace_integrations.server.backend import Backend
from pace_integrations.server.errors import ApiError
from pace_integrations.server.uploads import name_file

Status = Literal["in_progress", "completed", "failed"]
SHARED = ""  # namespace of the folders that the server was started with
RECORD = "library.json"
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


@dataclass(slots=True)
class FileEntry:
    """A file of a library.

    Attributes:
        id: Its id.
        filename: Its name.
        bytes: Its size.
        status: What becomes of it.
        problem: What is wrong and what to do about it, or None.
        created_at: When it was added, in seconds since 1970.
    """

    id: str
    filename: str
    bytes: int = 0
    status: Status = "in_progress"
    problem: str | None = None
    created_at: int = field(default_factory=lambda: int(time.time()))


class Library:
    """Documents that are asked together. Made by `LibraryShelf`.

    Attributes:
        id: Its id.
        name: What people call it.
        namespace: Whose it is; `SHARED` is everybody's.
        folder: Where it is kept.
        files: Its files by id.
        source: The folder of documents it was made from, or None.
        progress: Tokens read and to read, while it reads.
        backend: What answers, or None until it is open.
        removed: Whether it is being removed; nobody sees it then.
        job: The reading that was asked for last, or None.
    """

    def __init__(self, id: str, name: str, namespace: str, folder: Path) -> None:
        self.id = id
        self.name = name
        self.namespace = namespace
        self.folder = folder
        self.created_at = int(time.time())
        self.last_used = self.created_at
        self.files: dict[str, FileEntry] = {}
        self.metadata: dict[str, Any] = {}
        self.source: Path | None = None
        self.progress: tuple[int, int] | None = None
        self.backend: Backend | None = None
        self.removed = False
        self.job: Future[None] | None = None

    @property
    def status(self) -> Status:
        """Return whether it still reads."""
        job = self.job
        return "in_progress" if job is not None and not job.done() else "completed"

    async def wait_until_open(self) -> Backend:
        """Return what answers, once there is something.

        Raises:
            ApiError: It holds nothing that could be read.
        """
        while self.backend is None and (job := self.job) is not None and not job.done():
            # A question that gives up waiting must not end the reading.
            await asyncio.shield(asyncio.wrap_future(job))
        self.last_used = int(time.time())
        if self.backend is None or self.backend.corpus is None:
            problems = [f"{f.filename}: {f.problem}" for f in self.files.values() if f.problem]
            why = f" ({'; '.join(problems[:3])})" if problems else "; add files first"
            message = f"library {self.name!r} holds no document that could be read{why}"
            raise ApiError(400, message, param="model", code="library_empty")
        return self.backend

    async def wait_until_read(self) -> None:
        """Wait until every file that was added has been read or refused."""
        while (job := self.job) is not None and not job.done():
            await asyncio.shield(asyncio.wrap_future(job))

    def count_files(self) -> dict[str, int]:
        """Return how many files have each status, and all."""
        states = [entry.status for entry in list(self.files.values())]
        counts = {s: states.count(s) for s in ("in_progress", "completed", "failed")}
        return {**counts, "cancelled": 0, "total": len(states)}

    def count_pages(self) -> int:
        """Return the pages that can be asked."""
        corpus = self.backend.corpus if self.backend else None
        return sum(len(document.pages) for document in corpus.documents) if corpus else 0

    def measure_size(self) -> int:
        """Return the bytes that it takes on disk, those of its files not counted."""
        return folder_size(self.folder)


def write_record(library: Library) -> None:
    """Write what is known of a library, in one atomic step."""
    record = {
        "id": library.id,
        "name": library.name,
        "namespace": library.namespace,
        "created_at": library.created_at,
        "metadata": library.metadata,
        "removed": library.removed,
        "files": [
            {name: getattr(entry, name) for name in FileEntry.__slots__}
            for entry in list(library.files.values())
        ],
    }
    making = library.folder / f".{uuid.uuid4().hex}"
    with _files.create_file(making) as stream:
        stream.write(json.dumps(record).encode())
    making.replace(library.folder / RECORD)


def load_record(meta: Path) -> Library:
    """Return the library that a record is about.

    Raises:
        ValueError: It is no record of a library.
    """
    record = json.loads(meta.read_text("utf-8"))
    if not _ID.fullmatch(record["id"]) or meta.parent.name != record["id"]:
        raise ValueError("it is no record of a library")
    library = Library(record["id"], record["name"], record["namespace"], meta.parent)
    library.created_at, library.metadata = record["created_at"], record["metadata"]
    library.removed = record.get("removed", False)
    library.files = {row["id"]: FileEntry(**row) for row in record["files"]}
    return library


def describe_problems(report: Report) -> str | None:
    """Return what to do about files that were not read in full."""
    lines = [f"{f.status}: {f.remedy}" for f in report.files if f.remedy]
    return "; ".join(dict.fromkeys(lines)) or None


def describe_files(corpus: Corpus) -> list[FileEntry]:
    """Return an entry for every file of a corpus that was read from a folder."""
    ids = {document.source: name_file(document.id) for document in corpus.documents}
    entries = []
    for file in corpus.report.files:
        if file.status == "unsupported":
            continue
        path = Path(file.path)
        size = path.stat().st_size if path.is_file() else 0
        status: Status = "completed" if file.path in ids else "failed"
        problem = f"{file.status}: {file.remedy}" if file.remedy else None
        entries.append(FileEntry(ids.get(file.path, path.name), path.name, size, status, problem))
    return entries
