"""`PaceReader`: this library's reading of files as a LlamaIndex reader, with a report."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document as LlamaDocument

from pace_integrations.documents import Document, FileReport, NothingReadError, Report
from pace_integrations.documents.discovery import expand_paths
from pace_integrations.documents.formats.sniffing import SUFFIXES
from pace_integrations.documents.ingest import read_file
from pace_integrations.llama_index.nodes import to_documents

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

logger = logging.getLogger(__name__)


class PaceReader(BaseReader):
    """Reads PDF and text files page by page and says what became of each.

    Register it with ``SimpleDirectoryReader(folder, file_extractor=PaceReader().extractor())``, or
    call `load_data` with a path. Every page is a document: its id is ``PATH_part_i``, as
    ``filename_as_id`` of the directory reader makes it, its metadata name file, 1-based ``page``
    and ``page_label``.

    A file of which nothing could be read raises; the directory reader prints that and goes on, or
    raises in turn with ``raise_on_error=True``. Either way `report` has it.
    """

    def __init__(self) -> None:
        self._files: list[FileReport] = []

    @property
    def report(self) -> Report:
        """Status of every file since this reader was made, in reading order."""
        return Report(tuple(self._files))

    def extractor(self) -> dict[str, BaseReader]:
        """Return this reader for every suffix that it reads, for ``file_extractor=``."""
        return dict.fromkeys(SUFFIXES, self)

    def lazy_load_data(
        self,
        file: str | PurePath,
        extra_info: dict[str, Any] | None = None,
        fs: AbstractFileSystem | None = None,
    ) -> Iterator[LlamaDocument]:
        """Read a file, or all files of a folder or a pattern.

        Args:
            file: What to read.
            extra_info: Metadata that every page gets.
            fs: File system that `file` lies on; None is the local one.

        Raises:
            NothingReadError: Nothing could be read; its report says why, file by file.
            DocumentError: There is no such file.
        """
        read = False
        files: list[FileReport] = []
        for document, report in _read_all(file, fs):
            files.append(report)
            self._files.append(report)
            if report.status != "ok":
                logger.warning("%s is %s: %s", report.path, report.status, report.remedy)
            pages = to_documents(document, report, extra_info)
            read = read or bool(pages)
            yield from pages
        if not read:
            raise NothingReadError(Report(tuple(files)))


def _read_all(
    file: str | PurePath, fs: AbstractFileSystem | None
) -> Iterator[tuple[Document | None, FileReport]]:
    if fs is not None:
        yield _fetch_file(str(file), fs)
        return
    for path in expand_paths([Path(file)]):
        yield read_file(path)


def _fetch_file(path: str, fs: AbstractFileSystem) -> tuple[Document | None, FileReport]:
    """Read a file of another file system here and reported under its own path."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PurePosixPath(path).name
        copy.write_bytes(fs.cat_file(path))
        document, report = read_file(copy)
    return document and replace(document, source=path), replace(report, path=path)
