"""What a store of sessions can say of one of them without opening it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations.errors import SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.manifest import Verify


@dataclass(frozen=True, slots=True)
class Entry:
    """One session of a store.

    Attributes:
        key: Its name in the store.
        path: Its folder, which `Pace.open` takes too.
        status: ``"whole"``, ``"unfinished"`` (its reading was interrupted) or ``"damaged"``.
        bytes: Its size on disk.
        used: When it was last used, in seconds since 1970.
        in_use: Whether a process uses it now.
        model: Name of the model that read it.
        namespace: Whose it is.
        tokens: Tokens read.
        documents: Titles of the documents read.
        fingerprint: All that tells the model and its settings apart.
        problem: What is wrong with it, where something is.
    """

    key: str
    path: str
    status: str
    bytes: int
    used: float
    in_use: bool
    model: str | None = None
    namespace: str | None = None
    tokens: int = 0
    documents: tuple[str, ...] = ()
    fingerprint: Mapping[str, Any] | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry as plain JSON-ready values."""
        return asdict(self)


def describe_entry(path: Path, *, in_use: bool, verify: Verify) -> Entry:
    """Describes an entry; what is wrong with it is in its `problem`.

    Args:
        path: Its folder.
        in_use: Whether a process uses it.
        verify: ``"full"`` hashes every file.
    """
    status, facts, problem = "whole", dict[str, Any](), None
    unfinished = path / manifests.UNFINISHED
    folder = path if (path / manifests.FILE).exists() or not unfinished.exists() else unfinished
    try:
        manifest = manifests.load_manifest(folder)
        facts = _manifest_facts(manifest)
        manifests.check_files(folder, manifest, verify)
        status = "whole" if folder == path else "unfinished"
    except SessionFileError as error:
        # A reading that has kept nothing yet, or never came to it, leaves an empty entry.
        begun = not any(path.glob("data-*")) and not (folder / manifests.FILE).exists()
        status, problem = ("unfinished", None) if begun else ("damaged", str(error))
    size, used = folder_size(path), last_used(path)
    return Entry(path.stem, str(path), status, size, used, in_use, problem=problem, **facts)


def _manifest_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": manifest["fingerprint"].get("model"),
        "namespace": manifest["namespace"],
        "tokens": manifest["tokens"],
        "documents": tuple(manifest["documents"]),
        "fingerprint": manifest["fingerprint"],
    }


def folder_size(path: Path) -> int:
    """Size of a folder's files."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += (Path(folder) / name).stat().st_size
    return total


def last_used(path: Path) -> float:
    """When an entry was last used, in seconds since 1970."""
    for file in (path / ".used", path):
        with contextlib.suppress(OSError):
            return file.stat().st_mtime
    return 0.0
