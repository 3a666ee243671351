"""Files inside other files: attachments of messages and PDF files are read by their own parsers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pace_integrations.documents.formats.capture import Messages
from pace_integrations.documents.formats.file_parsing import PageCollector, run_parser
from pace_integrations.documents.formats.registry import Format, ParseJob
from pace_integrations.documents.formats.sniffing import HEAD, TAIL, TEXT, detect_format

_MAX_DEPTH = 3
_MAX_FILES = 100
_MAX_NAMES = 8
# Other texts are for programs: an invoice's XML says again what its pages say.
_TEXTS = ("", ".txt", ".text", ".log")


@dataclass(slots=True)
class AttachedFiles:
    """Reads the files in a file and emits their pages behind those of the file itself.

    Attributes:
        job: The job of the file that holds them.
        index: Index of the last page emitted so far.
        read: Names of the files that were read.
        unread: Names of those that were not, and why where their parser says so.
    """

    job: ParseJob
    index: int
    read: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def read_all(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Read files by their names and bytes; what has no parser is only named."""
        for name, data in files:
            name = " ".join(name.split()) or "without a name"
            if len(self.read) >= _MAX_FILES or not self._read(name, data):
                self.unread.append(name)
            else:
                self.read.append(name)

    def _read(self, name: str, data: bytes) -> bool:
        """Emit the pages of one file; tell whether there are any."""
        dot = name.rfind(".")
        suffix = name[dot:].lower() if dot > 0 else ""
        row = detect_format(data[:HEAD], name, data[-TAIL:]) if data else None
        if row is None or self.job.depth >= _MAX_DEPTH or not _is_document(row, suffix):
            return False
        pages, messages = PageCollector(), Messages()
        inner = replace(
            self.job,
            emit=pages.add,
            report_progress=lambda done, total: None,
            suffix=suffix,
            depth=self.job.depth + 1,
        )
        result = pages.finish(run_parser(row, data, inner, messages))
        for page in result.pages:
            self.index += 1
            within = page.section or (f"page {page.label or page.index}" if row.paged else "")
            section = " > ".join(filter(None, (f"attached {name}", within)))
            self.job.emit(replace(page, index=self.index, label=None, section=section))
        if result.status == "partial":
            self.unread.append(f"parts of {name}")
        return bool(result.pages)

    def warnings(self) -> list[str]:
        """Return which files were read and which were not, a line for each."""
        named = (
            ("attached files, read after the text", self.read),
            ("attached files were not read", self.unread),
        )
        return [f"{what}: {_list_names(names)}" for what, names in named if names]


def _is_document(row: Format, suffix: str) -> bool:
    return suffix in _TEXTS if row is TEXT else True


def _list_names(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
