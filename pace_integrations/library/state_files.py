"""Files of states one by one: their hashes, their last use, and which of them nobody needs."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pace_integrations._files import remove_file
from pace_integrations.library.shared_shelf import SharedShelf

if TYPE_CHECKING:  # listing and removing libraries does without
    import torch
    from torch import Tensor

_TOUCH = 60.0  # seconds within which one use of a file is as good as another
_ABANDONED = 3600.0  # seconds after which a file that was never moved into place is nobody's
_log = logging.getLogger(__name__)


def remove_shared(shelves: Iterable[SharedShelf], leaves: Callable[[str], bool]) -> None:
    """Remove files of some names from a shared store; where it does not answer they stay."""
    try:
        for shelf in shelves:
            shelf.remove(leaves)
    except OSError as error:
        _log.warning("states that nobody needs stay on the store: %s", error)


def document_of(name: str) -> str:
    """Return the key of the document that a file's blocks belong to."""
    return name.split("-")[0]


def hash_tensors(tensors: Sequence[Tensor]) -> str:
    """Return a hash of the bytes of tensors."""
    import torch

    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a type as a file says it."""
    return str(dtype).removeprefix("torch.")


def measure_files(folder: Path) -> dict[Path, os.stat_result]:
    """Return the files of tensors in a folder."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(OSError):  # gone meanwhile
            found[path] = path.stat()
    return found


def touch_used(path: Path) -> None:
    """Note that a file is used now."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _TOUCH:
            os.utime(path)


def remove_abandoned(*folders: Path) -> None:
    """Remove what processes that were killed left half written."""
    for folder in folders:
        locks = [p for p in folder.glob(".unsent-*.lock") if not p.with_suffix("").exists()]
        for path in (*folder.glob(".*.tmp"), *locks):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    remove_file(path)
