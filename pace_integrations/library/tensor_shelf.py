"""Files of tensors of one kind, each block of which is found by its key.

On a library that several machines share the files on this one are copies, made when they are used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pace_integrations._files import make_folder, remove_file, sync
from pace_integrations.library.shared_shelf import SharedShelf
from pace_integrations.library.state_files import hash_tensors, measure_files
from pace_integrations.store.safetensors_writer import write_tensors

_OPEN_FILES = 128  # most files kept mapped
_LOOK = 1.0  # seconds within which what others have read is found


class TensorShelf:
    """Files of one kind for one model: which block is in which file.

    Args:
        folder: Where they lie on this machine.
        shared: The same files where several machines reach them, or None.
    """

    def __init__(self, folder: Path, shared: SharedShelf | None = None) -> None:
        self.folder = folder
        self.shared = shared
        self.places: dict[str, Path] = {}
        self._known: set[str] = set()
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self._checked: dict[str, tuple[int, ...]] = {}  # blocks, with their file as it was then
        self._looked = 0.0
        self.refresh()

    def refresh(self, wanted: Container[str] | None = None) -> None:
        """Take in what other processes have written or removed.

        Args:
            wanted: Blocks of the library. Where they are given, what processes of this machine
                have not sent that were ended is taken over.
        """
        self._looked = time.monotonic()
        # In this order: what is here is listed, or noted before it is listed.
        here = {path.name: path for path in self.folder.glob("*.safetensors")}
        if self.shared is not None:
            noted = self.shared.list_noted()
            if self.shared.refresh():
                if wanted is not None:
                    noted -= self.shared.take_over(self._list_blocks, wanted)
                for name in here.keys() - noted - self.shared.files.keys():
                    # Removed elsewhere, so the copy of it goes too.
                    with contextlib.suppress(OSError):  # in use, on Windows
                        remove_file(here.pop(name))
        elsewhere = self.shared.files if self.shared is not None else {}
        now = here | {name: self.folder / name for name in elsewhere}
        if gone := self._known - now.keys():
            self.places = {k: p for k, p in self.places.items() if p.name not in gone}
            for path in [path for path in self._open if path.name in gone]:
                del self._open[path]  # a mapped file takes up its space as long as it is mapped
        for name in now.keys() - self._known:
            if name in elsewhere:
                self.places |= dict.fromkeys(elsewhere[name].blocks, now[name])
                continue
            self.places |= dict.fromkeys(self._list_blocks(now[name]), now[name])
        self._known = set(now)

    def find(self, key: str) -> Path | None:
        """Return the file with a block, also one that others have read meanwhile, or None."""
        if key not in self.places and time.monotonic() - self._looked > _LOOK:
            self.refresh()
        return self.places.get(key)

    def write(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a file atomically, named after what it belongs to and a hash of what is in it."""
        make_folder(self.folder)
        said = json.dumps(facts)
        content = hashlib.sha256(said.encode()).hexdigest()[:16]
        path = self.folder / f"{name}-{content}.safetensors"
        beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}.tmp")
        try:
            parts = {name: (tensor,) for name, tensor in tensors.items()}
            write_tensors(beside, parts, said)
            sync(beside)
            if self.shared is not None:
                self.shared.announce(path)
            beside.replace(path)
        finally:
            remove_file(beside)
        sync(self.folder)
        self._open.pop(path, None)
        if self.shared is not None:
            self.shared.note(path, [*facts["blocks"]])
        self._known.add(path.name)
        self.places |= dict.fromkeys(facts["blocks"], path)

    def open(self, path: Path) -> Any:  # noqa: ANN401 - safetensors is untyped
        """Return a mapped file, copied to this machine where it is not here.

        Raises:
            OSError: It is not there, or the store does not answer.
        """
        if path not in self._open:
            if self.shared is not None and not path.exists():
                self.shared.fetch([path])
            self._open[path] = safe_open(path, framework="pt")
        self._open.move_to_end(path)
        while len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)
        return self._open[path]

    def read_facts(self, path: Path) -> dict[str, Any]:
        """Return what a file says of itself."""
        facts: dict[str, Any] = json.loads((self.open(path).metadata() or {})["data"])
        return facts

    def check(self, path: Path, key: str, tensors: Sequence[Tensor]) -> None:
        """Check a block's bytes against their hash, once as long as nothing writes to the file.

        Raises:
            OSError: The file is not there.
            ValueError: The bytes were changed.
        """
        status = path.stat()
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._checked.get(key) != version:
            if hash_tensors(tensors) != self.read_facts(path)["blocks"][key]:
                raise ValueError("its bytes were changed")
            self._checked[key] = version

    def _list_blocks(self, path: Path) -> list[str]:
        """Return the blocks in a file of this machine; none where it is damaged or gone."""
        with contextlib.suppress(OSError, SafetensorError, ValueError, KeyError):
            return [*self.read_facts(path)["blocks"]]
        return []

    def fetch_all(self) -> None:
        """Copy all files that are not here to this machine.

        Raises:
            OSError: One is not there, or the store does not answer.
        """
        if self.shared is not None:
            self.shared.fetch(p for p in set(self.places.values()) if not p.exists())

    def evict(self, path: Path) -> None:
        """Remove a file from this machine; where it is shared it is found again."""
        if self.shared is None or path.name not in self.shared.files:
            self.drop(path)
            return
        self._open.pop(path, None)
        with contextlib.suppress(OSError):  # in use, on Windows
            remove_file(path)

    def drop(self, path: Path) -> None:
        """Remove a file from this machine, and forget it."""
        self._open.pop(path, None)
        self._known.discard(path.name)
        self.places = {key: place for key, place in self.places.items() if place != path}
        with contextlib.suppress(OSError):  # in use, on Windows
            remove_file(path)

    def sizes(self) -> dict[Path, os.stat_result]:
        """Return the files that are there."""
        return measure_files(self.folder)
