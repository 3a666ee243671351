"""What a parser found, line by line in a file, so that a crash does not take it along.

The pages of a long document wait here, not in memory, until the whole of it has been seen.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


class Journal:
    """Records that are appended, and read from the start as often as needed.

    Args:
        path: The file; None makes a temporary one that vanishes with the journal.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file: TextIO = (
            tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed by `__exit__`
            if path is None
            else path.open("a+", encoding="ascii")
        )

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a record; after the call it outlives this process."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def read(self) -> Iterator[dict[str, Any]]:
        """The records from the first on, up to one that was only half written."""
        self._file.seek(0)
        for line in self._file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)
