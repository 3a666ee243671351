"""Keeps a library in step with a folder: looks at sizes and times of its files now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pace_integrations.documents import ReadOptions
from pace_integrations.documents.discovery import expand_paths
from pace_integrations.errors import DocumentError
from pace_integrations.library.catalog import file_stamp
from pace_integrations.library.changes import LibraryChange

Snapshot = dict[str, tuple[int, int] | None]


def watch_folder(
    sync: Callable[[], LibraryChange],
    folder: Path,
    options: ReadOptions,
    *,
    interval: float,
    stop: threading.Event,
) -> Iterator[LibraryChange]:
    """Call `sync` at once, and then whenever the files of a folder have changed.

    A file that is still being written changes between two looks; it is waited for. While the folder
    is gone, as a drive that was unplugged is, nothing is done.

    Args:
        sync: Makes the library like the folder.
        folder: The folder.
        options: How files are found.
        interval: Seconds between two looks.
        stop: Ends it.

    Yields:
        Each change that was made, and the first one whatever it is.

    Raises:
        DocumentError: There is no such folder when it begins.
    """
    synced = before = take_snapshot(folder, options)
    yield sync()
    while not stop.wait(interval):
        now = take_snapshot(folder, options)
        settled, before = now == before, now
        if now is None or now == synced or not settled:
            continue
        try:
            change = sync()
        except DocumentError:
            if folder.is_dir():
                raise
            continue
        # As it was before the change: what came meanwhile is found by the next look.
        synced = now
        if change.added or change.replaced or change.removed or change.report.problems:
            yield change


def take_snapshot(folder: Path, options: ReadOptions) -> Snapshot | None:
    """Return size and time of each file of a folder that can be read, or None without a folder."""
    if not folder.is_dir():
        return None
    try:
        paths = [str(path) for path in expand_paths([folder], options)]
    except DocumentError:  # nothing in it, or nothing that can be read
        paths = []
    return {path: file_stamp(path) for path in paths}
