"""Files that clients have uploaded, each namespace's apart from the others'."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations import _files
from pace_integrations.documents.formats.sniffing import SUFFIXES, is_supported
from pace_integrations.documents.types import short_id
from pace_integrations.server.errors import ApiError, not_found

_ID = re.compile(r"file-[0-9a-f]{16}")
_META = "meta.json"
_PREFIX = "file-"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded.

    Attributes:
        id: ``file-`` and the id that its document has: the same bytes are the same file.
        filename: Its name.
        bytes: Its size.
        created_at: When it came, in seconds since 1970.
        purpose: What the client says it is for.
    """

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: str = "assistants"

    def to_dict(self) -> dict[str, Any]:
        """Return the file as OpenAI's clients know it."""
        return {"object": "file", **asdict(self), "status": "processed", "expires_at": None}


def name_file(document_id: str) -> str:
    """Return the id of the file that a document was read from."""
    return _PREFIX + document_id


def document_id_of(file_id: str) -> str:
    """Return the id that the document of a file has."""
    return file_id.removeprefix(_PREFIX)


def clean_name(name: str | None) -> str:
    """Return a file name that means the same folder on every system, and no other."""
    last = re.split(r"[/\\]", name or "")[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').rstrip(" .")
    stem, dot, suffix = kept.rpartition(".")
    stem = (stem if dot else suffix).strip(" .")[:100] or "file"
    return f"{stem}.{suffix[:12] if dot else 'txt'}"


class UploadStore:
    """The folder of uploaded files.

    Args:
        folder: Where they are kept.
        max_bytes: Most bytes of one.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self.max_bytes = max_bytes

    def add(self, namespace: str, name: str | None, data: bytes, purpose: str) -> Upload:
        """Keep a file; the same bytes again are the same file.

        Raises:
            ApiError: It is empty (400), too large (413) or of a kind that is not read (415).
        """
        filename = clean_name(name)
        if not data:
            raise ApiError(400, f"{filename!r} is empty", param="file", code="empty_file")
        self.check_size(len(data))
        folder = self._folder / namespace
        _files.make_folder(folder)
        making = folder / f".new-{uuid.uuid4().hex}"
        _files.make_folder(making / "content")
        try:
            with _files.create_file(making / "content" / filename) as stream:
                stream.write(data)
            if not is_supported(making / "content" / filename):
                raise ApiError(
                    415,
                    f"{filename!r} is of no kind that is read; these are: {' '.join(SUFFIXES)}",
                    param="file",
                    code="unsupported_file",
                )
            file_id = name_file(short_id(hashlib.sha256(data).hexdigest()))
            upload = Upload(file_id, filename, len(data), int(time.time()), purpose)
            with _files.create_file(making / _META) as stream:
                stream.write(json.dumps(asdict(upload)).encode())
            final = folder / file_id
            if final.exists():
                return self.get(namespace, file_id)
            making.rename(final)
        finally:
            _files.remove_tree(making)
        return upload

    def check_size(self, size: int) -> None:
        """Refuse a file that is too large.

        Raises:
            ApiError: It is.
        """
        if size > self.max_bytes:
            message = f"the file is larger than {self.max_bytes} bytes; split it"
            raise ApiError(413, message, param="file", code="file_too_large")

    def get(self, namespace: str, file_id: str) -> Upload:
        """Return a file.

        Raises:
            ApiError: There is none, or it is another's (404).
        """
        path = self._folder / namespace / file_id / _META
        if not _ID.fullmatch(file_id) or not path.is_file():
            raise not_found("file", file_id)
        values: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        return Upload(**values)

    def find_path(self, namespace: str, file_id: str) -> Path:
        """Return where the bytes of a file are.

        Raises:
            ApiError: There is none, or it is another's (404).
        """
        upload = self.get(namespace, file_id)
        return self._folder / namespace / file_id / "content" / upload.filename

    def list_visible(self, namespace: str) -> list[Upload]:
        """Return the files of a namespace, the newest first."""
        folder = self._folder / namespace
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        found = [self.get(namespace, name) for name in names if _ID.fullmatch(name)]
        return sorted(found, key=lambda upload: (-upload.created_at, upload.id))

    def remove(self, namespace: str, file_id: str) -> None:
        """Remove a file; libraries that have read it keep what they have read.

        Raises:
            ApiError: There is none, or it is another's (404).
        """
        self.get(namespace, file_id)
        _files.remove_tree(self._folder / namespace / file_id)
