"""What a store of sessions can say of one of them without opening it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pace_integrations._paths import folder_size
from pace_integrations.errors import SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.contents import check_contents
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
        """Return the entry as plain JSON-ready values."""
        return asdict(self)


def describe_entry(path: Path, *, in_use: bool, verify: Verify) -> Entry:
    """Describe an entry; what is wrong with it is in its `problem`.

    Args:
        path: Its folder.
        in_use: Whether a process uses it.
        verify: ``"full"`` hashes every file, and reads what it holds.
    """
    size, used = folder_size(path), last_used(path)
    try:
        status, facts, problem = _judge_entry(path, verify)
    except OSError as error:
        status, facts, problem = "damaged", {}, f"it cannot be looked at: {error.strerror}"
    return Entry(path.stem, str(path), status, size, used, in_use, problem=problem, **facts)


def _judge_entry(path: Path, verify: Verify) -> tuple[str, dict[str, Any], str | None]:
    """Return status, facts and problem of an entry; `OSError` where it may not be looked at."""
    if path.is_symlink():
        return "damaged", {}, "it is a link, and no session of this store"
    unfinished = path / manifests.UNFINISHED
    whole = (path / manifests.FILE).exists() or not unfinished.exists()
    folder, facts = path if whole else unfinished, dict[str, Any]()
    try:
        manifest = manifests.load_manifest(folder)
        facts = _manifest_facts(manifest)
        if verify == "full":
            check_contents(folder, manifest)
        else:
            manifests.check_files(folder, manifest, verify)
    except SessionFileError as error:
        # A reading that has kept nothing yet, or never came to it, leaves an empty entry.
        if any(path.glob("data-*")) or os.path.lexists(folder / manifests.FILE):
            return "damaged", facts, str(error)
        return "unfinished", facts, None
    return "whole" if whole else "unfinished", facts, None


def _manifest_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": manifest["fingerprint"].get("model"),
        "namespace": manifest["namespace"],
        "tokens": manifest["tokens"],
        "documents": tuple(manifest["documents"]),
        "fingerprint": manifest["fingerprint"],
    }


def last_used(path: Path) -> float:
    """Return when an entry was last used, in seconds since 1970."""
    for file in (path / ".used", path):
        with contextlib.suppress(OSError):
            return file.stat().st_mtime
    return 0.0
