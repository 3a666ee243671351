"""Files of tensors of one kind, each block of which is found by its key."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pace_integrations._files import make_folder, remove_file, sync
from pace_integrations.store.safetensors_writer import write_tensors

_OPEN_FILES = 128  # most files kept mapped


class TensorShelf:
    """Files of one kind for one model: which block is in which file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[str, Path] = {}
        self._known: set[str] = set()
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes have written or removed."""
        now = {path.name: path for path in self.folder.glob("*.safetensors")}
        if gone := self._known - now.keys():
            self.places = {k: p for k, p in self.places.items() if p.name not in gone}
            for path in [path for path in self._open if path.name in gone]:
                del self._open[path]  # a mapped file takes up its space as long as it is mapped
        for name in now.keys() - self._known:
            with contextlib.suppress(OSError, SafetensorError, ValueError, KeyError):
                for key in self.read_facts(now[name])["blocks"]:
                    self.places[key] = now[name]
        self._known = set(now)

    def write(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a file atomically."""
        make_folder(self.folder)
        path = self.folder / f"{name}-{uuid.uuid4().hex[:16]}.safetensors"
        beside = path.with_name(f".{path.name}.tmp")
        try:
            parts = {name: (tensor,) for name, tensor in tensors.items()}
            write_tensors(beside, parts, json.dumps(facts))
            sync(beside)
            beside.replace(path)
        finally:
            remove_file(beside)
        sync(self.folder)
        self._known.add(path.name)
        self.places |= dict.fromkeys(facts["blocks"], path)

    def open(self, path: Path) -> Any:  # noqa: ANN401 - safetensors is untyped
        """Return a mapped file."""
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        self._open.move_to_end(path)
        while len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)
        return self._open[path]

    def read_facts(self, path: Path) -> dict[str, Any]:
        """Return what a file says of itself."""
        facts: dict[str, Any] = json.loads((self.open(path).metadata() or {})["data"])
        return facts

    def drop(self, path: Path) -> None:
        """Remove a file."""
        self._open.pop(path, None)
        self._known.discard(path.name)
        self.places = {key: place for key, place in self.places.items() if place != path}
        with contextlib.suppress(OSError):  # in use, on Windows
            remove_file(path)

    def sizes(self) -> dict[Path, os.stat_result]:
        """Return the files that are there."""
        found = {}
        for path in self.folder.glob("*.safetensors"):
            with contextlib.suppress(OSError):
                found[path] = path.stat()
        return found
